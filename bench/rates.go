package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// warmUp is how long each side runs before its rounds, without counting. The server's heap
// and its connections to Redis grow to the size that the load needs.
const warmUp = 300 * time.Millisecond

// sample is the result of one round of one side.
type sample struct {
	outcome
	wall                      time.Duration // from the start of wrk to its end
	server, redis, wrk, bench time.Duration // CPU time
	posts                     pacedOutcome
	lines                     int // of a bulk request
}

func (s sample) rate() float64 { return quotient(float64(s.requests), s.duration.Seconds()) }

// operationRate is rate, where a bulk request counts as its lines.
func (s sample) operationRate() float64 { return s.rate() * float64(max(1, s.lines)) }

func (s sample) cpu() float64  { return quotient(float64(s.server.Microseconds()), float64(s.requests)) }
func (s sample) tail() float64 { return float64(s.p99.Microseconds()) }

// redisCPU is Redis's part of a request.
func (s sample) redisCPU() float64 {
	return quotient(float64(s.redis.Microseconds()), float64(s.requests))
}

// quotient returns a/b, and 0 if b is 0. Without answers a row is invalid anyway.
func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func (s sample) share(cpu time.Duration) float64 { return quotient(cpu.Seconds(), s.wall.Seconds()) }

func (s sample) serverShare() float64 { return s.share(s.server) }

// loadShare returns the share of the load core that was used.
func (s sample) loadShare() float64 { return s.share(s.redis + s.wrk + s.bench) }

// rates runs the sides of rows in turn, a round each, and compares them round by round. A
// disturbance of the machine then affects neighbouring rounds alike.
func (b *bench) rates(ctx context.Context, rows []row) error {
	sv, err := b.start(ctx)
	if err != nil {
		return err
	}
	var sides []*side
	for _, r := range rows {
		for _, s := range []*side{r.base, r.work} {
			if !slices.Contains(sides, s) {
				sides = append(sides, s)
			}
		}
	}
	samples, invalid, err := b.roundsOf(ctx, sv, sides, b.options.rounds)
	if err != nil {
		return err
	}
	for _, s := range sides {
		b.details = append(b.details, detail{s, samples[s]})
	}
	for _, r := range rows {
		b.results = append(b.results, compare(r, samples, invalid))
	}
	return b.profile(ctx, sv, sides)
}

// roundsOf runs sides in turn, a round each, after a short round of each that warms up. It
// also returns the sides whose samples mean nothing, with the reason.
func (b *bench) roundsOf(ctx context.Context, sv *servers, sides []*side, rounds int) (map[*side][]sample, map[*side]string, error) {
	invalid := map[*side]string{}
	for _, s := range sides {
		if err := s.warm(ctx, sv); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if _, err := b.round(ctx, sv, s, min(warmUp, b.duration)); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if err := s.check(ctx, sv); err != nil {
			invalid[s] = err.Error()
		}
	}
	samples := map[*side][]sample{}
	for n := range rounds {
		for _, s := range sides {
			progress("round %d of %d: %s", n+1, rounds, s.name)
			taken, err := b.round(ctx, sv, s, b.duration)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", s.name, err)
			}
			samples[s] = append(samples[s], taken)
		}
	}
	for _, s := range sides {
		if err := s.check(ctx, sv); err != nil {
			invalid[s] = err.Error()
		}
		if why := failures(samples[s]); why != "" {
			invalid[s] = why
		} else if why := late(s, samples[s]); why != "" {
			invalid[s] = why
		}
		if why := invalid[s]; why != "" {
			progress("INVALID: %s: %s", s.name, why)
			for _, line := range lastErrors(sv.caddy.Output.String()) {
				progress("Caddy has logged: %s", line)
			}
		}
	}
	return samples, invalid, nil
}

// lastErrors returns the last three errors of Caddy's log.
func lastErrors(log string) []string {
	var errors []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"level":"error"`) {
			errors = append(errors, strings.TrimSpace(line))
		}
	}
	return errors[max(0, len(errors)-3):]
}

func compare(r row, samples map[*side][]sample, invalid map[*side]string) result {
	res := result{row: r}
	for i, work := range samples[r.work] {
		res.values = append(res.values, quotient(r.metric(work), r.metric(samples[r.base][i])))
	}
	for _, s := range []*side{r.base, r.work} {
		if why := invalid[s]; why != "" {
			res.invalid = s.name + ": " + why
		}
		res.loadFull = res.loadFull || loadFull(samples[s])
	}
	return res
}

// failures describes answers that make rounds invalid, or returns "".
func failures(samples []sample) string {
	var statuses, broken, posts, requests int
	for _, s := range samples {
		if s.requests == 0 {
			return "a round without an answer"
		}
		statuses += s.badStatus
		broken += s.broken
		posts += s.posts.failed
		requests += s.requests
	}
	if statuses+broken+posts == 0 {
		return ""
	}
	why := fmt.Sprintf("of %d requests %d were answered with an error and %d not at all", requests, statuses, broken)
	if posts > 0 {
		why += fmt.Sprintf("; %d of the POSTs beside them failed", posts)
	}
	return why
}

// late says that the server answered too few of the POSTs beside the load, or returns "".
func late(s *side, samples []sample) string {
	rate := median(each(samples, func(t sample) float64 { return t.posts.rate }))
	if rate >= 0.9*float64(s.posts) {
		return ""
	}
	return fmt.Sprintf("only %.0f of %d POST/s got through", rate, s.posts)
}

// loadFull reports whether the load core was full. The server could then do more than was
// measured.
func loadFull(samples []sample) bool { return median(each(samples, sample.loadShare)) >= 0.95 }

// disturbed reports whether neither core was full. Then there were too few connections, or
// another program used the cores.
func disturbed(samples []sample) bool {
	return !loadFull(samples) && median(each(samples, sample.serverShare)) < 0.85
}

// round loads the site of a side for a time.
func (b *bench) round(ctx context.Context, sv *servers, s *side, d time.Duration) (sample, error) {
	var t sample
	var err error
	server, redis, own := sv.cpuOf(s.site), cpuOf(sv.redisPID), ownCPU()
	posts := startPosts(ctx, sv, s)
	begun := time.Now()
	t.outcome, t.wrk, err = b.wrk(ctx, sv, s, d)
	t.wall = time.Since(begun)
	t.lines = s.lines
	t.posts = posts.stop()
	if err != nil {
		return t, err
	}
	t.server = sv.cpuOf(s.site) - server
	t.redis = cpuOf(sv.redisPID) - redis
	t.bench = ownCPU() - own
	if ended := sv.ended(); ended != nil {
		return t, ended
	}
	if s.peer && s.script == "post.lua" {
		written, err := sv.forget(ctx, t.requests+b.connectionsOf(s))
		t.broken += max(0, t.requests-t.badStatus-written)
		return t, err
	}
	return t, nil
}
