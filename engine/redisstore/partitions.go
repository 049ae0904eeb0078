package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// hashName names how keys are spread: the first 8 bytes of SHA-256 of seed and key,
	// modulo the number of partitions. Clients do not know the seed, so none can choose
	// keys that fill one partition.
	hashName = "sha256"
	seedSize = 16
	// recordEvery is the time between checks of the record. It is less than silentFor, so
	// that each check also shows that the node with the record is not silent.
	recordEvery = 900 * time.Millisecond
)

// Partitions is a namespace whose keys are spread over several stores, the partitions.
// Each has the order, the write numbers and the events of its keys.
//
// How many there are and the seed of the hash are in a record in Redis: with another
// number or seed, a node would look for keys where other nodes do not put them.
type Partitions struct {
	namespace string
	stores    []*Store
	// home has the record; nil with one partition, whose scripts see in its state that
	// it is the only one.
	home *Store
	// checking holds a token while a call checks the record.
	checking chan struct{}
	spread   atomic.Pointer[spread] // nil before the first answer
}

// spread is what the record says.
type spread struct {
	seed   string // "" if it was never known
	locate func(key string) int
	// refusal says why the keys cannot be found now.
	refusal error
	read    time.Time
}

// NewPartitions returns the namespace that c describes, with n partitions. More than one
// needs a cluster. It does not connect yet.
func NewPartitions(c Config, n int) *Partitions {
	p := &Partitions{namespace: c.Namespace, checking: make(chan struct{}, 1)}
	if n == 1 {
		p.stores = []*Store{New(c)}
		p.spread.Store(&spread{locate: func(string) int { return 0 }})
		return p
	}
	p.home = New(c)
	for i := range n {
		c.partition, c.partitions = i, n
		part := c
		part.Logger = c.Logger.With(zap.Int("partition", i))
		p.stores = append(p.stores, New(part))
	}
	return p
}

// Stores returns the partitions.
func (p *Partitions) Stores() []*Store { return p.stores }

// Locate returns a function that tells which of Stores has a key. Its errors are those of
// store.Store. With begin, the first call reads the record, and sets it if there is none;
// from then on, Keep must run. Without begin, each call reads the record, and changes
// nothing; it returns nil if there is none. What was known stays known while the record
// cannot be read.
func (p *Partitions) Locate(ctx context.Context, begin bool) (func(key string) int, error) {
	s := p.spread.Load()
	if p.home == nil || begin && s != nil && s.refusal == nil {
		return s.locate, nil
	}
	select {
	case p.checking <- struct{}{}:
		defer func() { <-p.checking }()
	case <-ctx.Done():
		return nil, failure(false, context.Cause(ctx))
	}
	// Another call may have read it meanwhile. A refusal is read again, since nothing else
	// does so before the first call that is not refused.
	s = p.spread.Load()
	if !begin || s == nil || s.refusal != nil && time.Since(s.read) >= recordEvery {
		now, err := p.check(ctx, begin)
		switch {
		case err == nil && now == nil:
			return nil, nil
		case err == nil:
			s = now
		case s == nil:
			return nil, err
		}
	}
	if s.refusal != nil {
		return nil, s.refusal
	}
	return s.locate, nil
}

// Keep checks the record about once a second until ctx ends. If it is gone, Keep sets it
// again. If there is another one, Locate returns an error while it is there, and Keep calls
// lost once.
func (p *Partitions) Keep(ctx context.Context, lost func()) {
	if p.home == nil {
		return
	}
	ticker := time.NewTicker(recordEvery)
	defer ticker.Stop()
	wasLost := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		isLost := p.checkAgain(ctx)
		if isLost && !wasLost {
			lost()
		}
		wasLost = isLost
	}
}

// checkAgain checks the record that an earlier call read. It reports whether there is
// another one.
func (p *Partitions) checkAgain(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, recordEvery)
	defer cancel()
	s, err := p.check(ctx, true)
	if err != nil {
		s = p.spread.Load() // the partitions say for themselves whether Redis is down
	}
	return s != nil && s.refusal != nil
}

// check reads the record, and notes what it says. If there is none, check sets it if set
// is true, and otherwise notes nothing and returns nil.
func (p *Partitions) check(ctx context.Context, set bool) (*spread, error) {
	before := p.spread.Load()
	if before == nil {
		before = &spread{}
	}
	s := &spread{seed: before.seed, locate: before.locate, read: time.Now()}
	layout, hash, seed, err := p.home.record(ctx)
	if err == nil && layout == "" && set {
		if seed = before.seed; seed == "" {
			if s.refusal, err = p.leftovers(ctx); s.refusal == nil {
				seed = newSeed()
			}
		}
		if err == nil && s.refusal == nil {
			layout, hash, seed, err = p.home.record(ctx, p.layout(), hashName, seed)
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading how many partitions %s has: %w", p.namespace, err)
	case layout == "" && !set:
		return nil, nil
	case s.refusal != nil:
	case layout == "": // the script found values of one partition, and no state beside them
		s.refusal = otherPartitions(fmt.Sprintf("the namespace %s has partitions 1 and lost its state, and this node has partitions %d", p.namespace, len(p.stores)))
	default:
		s.refusal = p.judge(layout, hash, seed, before.seed)
	}
	if s.refusal == nil && s.locate == nil {
		s.seed, s.locate = seed, locateBy(seed, len(p.stores))
	}
	if set {
		p.note(s, before)
	}
	return s, nil
}

// note keeps what the record says for calls to come, and logs when it cannot be used.
func (p *Partitions) note(s, before *spread) {
	switch {
	case s.refusal != nil && before.refusal == nil:
		p.home.logger.Error("the partitions of this namespace cannot be used", zap.Error(s.refusal))
	case s.refusal == nil && before.refusal != nil:
		p.home.logger.Info("the partitions of this namespace can be used again")
	}
	p.spread.Store(s)
}

func newSeed() string {
	b := make([]byte, seedSize)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

// leftovers returns a refusal if partitions have entries though there is no record. With a
// new seed, nobody would find these entries. A node that knows the old seed soon sets the
// record again, if there is one.
func (p *Partitions) leftovers(ctx context.Context) (refusal, err error) {
	for i, result := range each(p, func(s *Store) error {
		size, err := s.Size(ctx)
		if err == nil && size.Keys > 0 {
			return errLeftovers
		}
		return err
	}) {
		if result == errLeftovers {
			return &store.CausedError{
				Cause: store.OtherPartitions,
				Err:   fmt.Errorf("%w: Redis lost the record of the partitions of the namespace %s, and partition %d still has entries", store.ErrRefused, p.namespace, i),
				Advice: "a node that has run since before sets the record again; without one, the entries cannot be found: " +
					"delete the keys {" + p.namespace + "/…}:… on all nodes of the cluster, or choose another namespace",
			}, nil
		}
		err = errors.Join(err, result)
	}
	return nil, err
}

var errLeftovers = errors.New("there are entries")

// layout is the layout in the record.
func (p *Partitions) layout() string { return layoutVersion + "/" + strconv.Itoa(len(p.stores)) }

// locateBy returns the function that spreads keys over n partitions.
func locateBy(seed string, n int) func(key string) int {
	return func(key string) int {
		var buffer [128]byte // most keys are not longer, and then nothing is allocated
		sum := sha256.Sum256(append(append(buffer[:0], seed...), key...))
		return int(binary.BigEndian.Uint64(sum[:8]) % uint64(n))
	}
}

// judge returns the error for a record that is not that of p; known is the seed that p
// used until now.
func (p *Partitions) judge(layout, hash, seed, known string) error {
	if layout != p.layout() {
		has, err := partitionsIn(layout)
		if err != nil {
			return err
		}
		return otherPartitions(fmt.Sprintf("the namespace %s has partitions %d, and this node has partitions %d", p.namespace, has, len(p.stores)))
	}
	if hash != hashName || seed == "" {
		return otherPartitions(fmt.Sprintf("another version of this module spread the keys of the namespace %s", p.namespace))
	}
	if known != "" && known != seed {
		return &store.CausedError{
			Cause:  store.OtherPartitions,
			Err:    fmt.Errorf("%w: the namespace %s was lost in Redis, and another node has begun it anew", store.ErrRefused, p.namespace),
			Advice: "restart this Caddy",
		}
	}
	return nil
}

func otherPartitions(what string) error {
	return &store.CausedError{
		Cause: store.OtherPartitions, Err: fmt.Errorf("%w: %s", store.ErrRefused, what), Advice: advices[store.OtherPartitions],
	}
}

// partitionsIn returns how many partitions a namespace with a layout has.
func partitionsIn(layout string) (int, error) {
	version, number, isSeveral := strings.Cut(layout, "/")
	n, err := strconv.Atoi(number)
	switch {
	case version != layoutVersion || isSeveral && err != nil:
		return 0, &store.CausedError{
			Cause: store.UnknownLayout, Err: fmt.Errorf("%w: this version knows layout %s, the namespace has layout %s", store.ErrRefused, layoutVersion, layout),
			Advice: advices[store.UnknownLayout],
		}
	case !isSeveral:
		return 1, nil
	}
	return n, nil
}

// record runs record.lua at the store whose keys are those of a namespace with one
// partition.
func (s *Store) record(ctx context.Context, args ...any) (layout, hash, seed string, err error) {
	keys := s.keys.fetches()
	reply, err := s.repeat(ctx, browsing, runs(recordScript, []string{keys[3], keys[0]}, args))
	if err != nil {
		return "", "", "", err
	}
	r := reader{reply: reply}
	layout, hash, seed = r.string(), r.string(), r.string()
	return layout, hash, seed, r.failure()
}

// CountPartitions returns how many partitions a namespace has in Redis; 0 if Redis does
// not know it.
func CountPartitions(ctx context.Context, c Config) (int, error) {
	home := New(c)
	defer home.Close()
	layout, _, _, err := home.record(ctx)
	if err != nil || layout == "" {
		return 0, err
	}
	return partitionsIn(layout)
}

// Check is Store.Check for all partitions. It sets no record.
func (p *Partitions) Check(ctx context.Context) error {
	for _, s := range p.stores {
		if err := s.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// SetTarget is Store.SetTarget for all partitions.
func (p *Partitions) SetTarget(t *Target) {
	if p.home != nil {
		p.home.SetTarget(t)
	}
	for _, s := range p.stores {
		s.SetTarget(t)
	}
}

// Close closes all connections. Calls in progress fail.
func (p *Partitions) Close() error {
	var errs []error
	if p.home != nil {
		errs = append(errs, p.home.Close())
	}
	for _, s := range p.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
