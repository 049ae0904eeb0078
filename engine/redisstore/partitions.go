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
	// recordEvery is the time between checks of the record.
	recordEvery = time.Second
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
// store.Store. The first call reads the record. If there is none yet, Locate sets one if
// begin is set, and otherwise returns nil.
func (p *Partitions) Locate(ctx context.Context, begin bool) (func(key string) int, error) {
	if s := p.spread.Load(); s != nil {
		return s.locate, s.refusal
	}
	select {
	case p.checking <- struct{}{}:
		defer func() { <-p.checking }()
	case <-ctx.Done():
		return nil, failure(false, context.Cause(ctx))
	}
	s := p.spread.Load()
	if s == nil { // no other call has read it meanwhile
		var err error
		if s, err = p.check(ctx, begin); s == nil {
			return nil, err
		}
	}
	return s.locate, s.refusal
}

// Keep checks the record each second until ctx ends. If it is gone, Keep sets it again,
// before other nodes may set another one. If there is another one, Locate returns an
// error from then on, and Keep calls lost once.
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
	before := p.spread.Load()
	if before == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, recordEvery)
	defer cancel()
	s, err := p.check(ctx, before.seed != "")
	if err != nil {
		s = before // the partitions say for themselves whether Redis is down
	}
	return s != nil && s.refusal != nil
}

// check reads the record, and notes what it says. If there is none, check sets it if set
// is true, and otherwise returns nil.
func (p *Partitions) check(ctx context.Context, set bool) (*spread, error) {
	before := p.spread.Load()
	if before == nil {
		before = &spread{}
	}
	var args []any
	if set {
		seed := []byte(before.seed)
		if len(seed) == 0 {
			seed = make([]byte, seedSize)
			_, _ = rand.Read(seed) // never fails
		}
		args = []any{p.layout(), hashName, seed}
	}
	layout, hash, seedSet, err := p.home.record(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("reading how many partitions %s has: %w", p.namespace, err)
	}
	if layout == "" {
		p.spread.Store(nil)
		if set { // the script found values of one partition, and no state beside them
			return nil, otherPartitions(fmt.Sprintf("the namespace %s has partitions 1 and lost its state, and this node has partitions %d", p.namespace, len(p.stores)))
		}
		return nil, nil
	}
	s := &spread{seed: before.seed, locate: before.locate}
	switch s.refusal = p.judge(layout, hash, seedSet, before.seed); {
	case s.refusal != nil && before.refusal == nil:
		p.home.logger.Error("the partitions of this namespace cannot be used", zap.Error(s.refusal))
	case s.refusal == nil && before.refusal != nil:
		p.home.logger.Info("the partitions of this namespace can be used again")
	}
	if s.refusal == nil && s.locate == nil {
		s.seed, s.locate = seedSet, locateBy(seedSet, len(p.stores))
	}
	p.spread.Store(s)
	return s, nil
}

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
