package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// peerRounds returns the number of rounds beside peers. There are many sides, so it is a
// third of the others.
func peerRounds(rounds int) int { return (rounds + 2) / 3 }

// peerRows are the kinds of requests that are measured beside peers.
var peerRows = []string{
	"peers: GET, 30 B", "peers: GET, 10 KiB", "peers: write, 30 B", "peers: write, 10 KiB",
	"peers: GET, 30 B, TLS", "peers: GET, 10 KiB, TLS", "peers: write, 30 B, TLS", "peers: write, 10 KiB, TLS",
	"peers: GET, 30 B, 4,000 a second", "peers: write, 30 B, 4,000 a second",
}

// Keys that peers read. Small ones begin at 0.
const (
	peerLarge     = 500_000
	peerLargeKeys = 10_000
)

// peerLine is a line of the table of peers.
type peerLine struct {
	what, program string
	samples       []sample
	rate, cpu     []float64 // this module's as parts of the peer's; nil for this module
	invalid       string
}

// besidePeers measures this module and the installed peers in turn.
func (b *bench) besidePeers(ctx context.Context, rows []row) error {
	b.close() // its namespaces are not needed
	b.servers = nil
	sv, missing, err := b.startBesidePeers(ctx)
	b.peerNotes = append(b.peerNotes, missing...)
	if err != nil {
		return err
	}
	if sv == nil {
		return nil
	}
	defer sv.stop()
	for _, r := range rows {
		sides := peerSides(sv.peers, r.what)
		measure := b.roundsOf
		if strings.Contains(r.what, "a second") {
			measure = b.pacedRoundsOf
		}
		samples, invalid, err := measure(ctx, sv, sides, peerRounds(b.options.rounds))
		if err != nil && (ctx.Err() != nil || sv.ended() != nil) {
			return err
		}
		if err != nil { // of a peer: the rest of the bench can go on
			b.peerNotes = append(b.peerNotes, fmt.Sprintf("**INVALID**: %s: %v", r.what, err))
			continue
		}
		b.peerLines = append(b.peerLines, peerLines(r.what, sides, samples, invalid)...)
	}
	for _, p := range sv.peers {
		b.peerNotes = append(b.peerNotes, p.title+": "+p.version(ctx))
	}
	return nil
}

// peerLines compares the first side, which is this module, with those of peers, round by
// round.
func peerLines(what string, sides []*side, samples map[*side][]sample, invalid map[*side]string) []peerLine {
	var lines []peerLine
	ours := samples[sides[0]]
	for _, s := range sides {
		l := peerLine{what: strings.TrimPrefix(what, "peers: "), program: s.name, samples: samples[s], invalid: invalid[s]}
		for i, theirs := range samples[s] {
			if s.peer {
				l.rate = append(l.rate, quotient(ours[i].rate(), theirs.rate()))
				l.cpu = append(l.cpu, quotient(ours[i].cpu()+ours[i].redisCPU(), theirs.cpu()+theirs.redisCPU()))
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// peerSides returns the sides of a kind of requests. The first one is this module's.
func peerSides(peers []*peer, what string) []*side {
	site, suffix := "read", ""
	theirs := side{peer: true, script: "get.lua", keys: storeKeys, body: smallValue, connections: hitConnections}
	if strings.Contains(what, "10 KiB") {
		suffix = "-large"
		theirs.keys, theirs.first, theirs.body = peerLargeKeys, peerLarge, largeValue
	}
	ours := theirs
	ours.peer, ours.first, ours.status = false, 0, "fwd="
	if strings.Contains(what, "write") {
		site = "write"
		theirs = side{peer: true, script: "post.lua", sent: theirs.body, connections: hitConnections}
		ours = theirs
		ours.peer, ours.full, ours.form = false, localKeys, &form{write: ourForm.write, contentType: "text/plain"}
	}
	tls := ""
	if strings.Contains(what, "TLS") {
		tls = "-tls"
	}
	ours.name, ours.site = "this module", site+suffix+tls
	sides := []*side{&ours}
	if site == "read" {
		hit := ours
		hit.name, hit.site, hit.keys, hit.status = "this module, local hit", "hits"+suffix+tls, hitKeys, localHit
		sides = append(sides, &hit)
	}
	for _, p := range peers {
		s := theirs
		s.name, s.site, s.form = p.title, p.name+tls, &p.form
		if tls != "" && !p.ownTLS {
			s.name = "Caddy and " + p.title
		}
		sides = append(sides, &s)
	}
	return sides
}

// peerSites returns this module's sites and the peers'.
func peerSites(peers []*peer, tls string) []site {
	ours := []site{
		{name: "hits", keys: hitKeys, value: rawValue, localTTL: "1h"},
		{name: "hits-large", keys: hitKeys, value: rawLargeValue, localTTL: "1h"},
		{name: "read", keys: storeKeys, value: rawValue, localTTL: "0s"},
		{name: "read-large", keys: peerLargeKeys, value: rawLargeValue, localTTL: "0s"},
		{name: "write", keys: localKeys, value: rawValue, localTTL: "30s"},
		{name: "write-large", keys: localKeys, value: rawLargeValue, localTTL: "30s"},
	}
	sites := slices.Clone(ours)
	for _, s := range ours {
		s.name, s.alias, s.tls = s.name+"-tls", s.name, tls
		sites = append(sites, s)
	}
	for _, p := range peers {
		behind := site{name: p.name + "-tls", peer: p, tls: tls, port: p.tlsPort}
		if !p.ownTLS {
			// By default Caddy keeps fewer idle connections than the load has.
			behind.block = fmt.Sprintf("reverse_proxy 127.0.0.1:%d {\n\t\t\ttransport http {\n\t\t\t\tkeepalive_idle_conns_per_host %d\n\t\t\t}\n\t\t}", p.port, storeConnections)
		}
		sites = append(sites, site{name: p.name, peer: p, port: p.port}, behind)
	}
	return sites
}

// startBesidePeers starts the servers and the peers. It returns why a peer is missing, and no
// servers if there is no peer.
func (b *bench) startBesidePeers(ctx context.Context) (sv *servers, missing []string, err error) {
	sv = &servers{sites: map[string]site{}}
	defer func() {
		if err != nil || len(sv.peers) == 0 {
			sv.stop()
			sv = nil
		}
	}()
	if err := sv.startRedis(ctx, b); err != nil {
		return sv, nil, err
	}
	cert, key, err := writeCertificate(b.dir)
	if err != nil {
		return sv, nil, err
	}
	for _, p := range allPeers() {
		if err := p.start(ctx, b, peerPlace{redis: sv.redis.Addr, dir: b.dir, cert: cert, key: key}); err != nil {
			missing = append(missing, fmt.Sprintf("%s is left out: %v", p.title, err))
			continue
		}
		sv.peers = append(sv.peers, p)
	}
	if len(sv.peers) == 0 {
		return sv, missing, nil
	}
	sites := peerSites(sv.peers, cert+" "+key)
	if err := sv.fill(ctx, sites); err != nil {
		return sv, missing, err
	}
	if err := sv.fillForPeers(ctx); err != nil {
		return sv, missing, err
	}
	return sv, missing, sv.startCaddy(ctx, b, sites)
}

// fillForPeers writes the keys that peers read.
func (s *servers) fillForPeers(ctx context.Context) error {
	fill := func(first, keys int, body string) error {
		const chunk = 1000
		for from := first; from < first+keys; from += chunk {
			pairs := make([]any, 0, 2*chunk)
			for n := from; n < from+chunk; n++ {
				pairs = append(pairs, key(n), body)
			}
			if err := s.client.MSet(ctx, pairs...).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(0, storeKeys, smallValue); err != nil {
		return err
	}
	return fill(peerLarge, peerLargeKeys, largeValue)
}

// forget deletes the keys that the last load of a peer wrote, and returns how many there were.
func (s *servers) forget(ctx context.Context, most int) (written int, err error) {
	const chunk = 1000
	for from := s.posted + 1; from <= s.posted+most; from += chunk {
		keys := make([]string, chunk)
		for i := range keys {
			keys[i] = key(from + i)
		}
		n, err := s.client.Unlink(ctx, keys...).Result()
		if err != nil {
			return written, err
		}
		written += int(n)
	}
	return written, nil
}

// pacedRoundsOf is roundsOf at a steady rate.
func (b *bench) pacedRoundsOf(ctx context.Context, sv *servers, sides []*side, rounds int) (map[*side][]sample, map[*side]string, error) {
	samples := map[*side][]sample{}
	for n := range rounds + 1 {
		for _, s := range sides {
			progress("round %d of %d: %s at a steady rate", n, rounds, s.name)
			if n == 0 {
				if err := s.warm(ctx, sv); err != nil {
					return nil, nil, err
				}
			}
			taken, err := b.pacedRound(ctx, sv, s)
			if err != nil {
				return nil, nil, err
			}
			if n > 0 { // round 0 warms up
				samples[s] = append(samples[s], taken)
			}
		}
	}
	invalid := map[*side]string{}
	for _, s := range sides {
		if why := failures(samples[s]); why != "" {
			invalid[s] = why
		}
	}
	return samples, invalid, nil
}

// pacedRound sends the requests of a side at the steady rate.
func (b *bench) pacedRound(ctx context.Context, sv *servers, s *side) (sample, error) {
	f := s.requests()
	load := pacedLoad{rate: steadyRate, request: func(n int) string { return f.get(s.first + n*7919%s.keys) }}
	if s.script == "post.lua" {
		load = pacedLoad{rate: steadyRate, first: sv.newKeys(), request: func(n int) string { return f.set(n, s.sent) }}
	}
	begun := time.Now()
	server, redis, own := sv.cpuOf(s.site), cpuOf(sv.redisPID), ownCPU()
	p := startPaced(ctx, sv.addr(s.site), load)
	select {
	case <-ctx.Done():
	case <-time.After(b.duration):
	}
	o := p.stop()
	if ctx.Err() != nil {
		return sample{}, ctx.Err()
	}
	wall := time.Since(begun)
	return sample{
		outcome: outcome{requests: o.done, duration: wall, broken: o.failed}, wall: wall,
		server: sv.cpuOf(s.site) - server, redis: cpuOf(sv.redisPID) - redis, bench: ownCPU() - own,
	}, nil
}
