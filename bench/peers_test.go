package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAPeerThatIsNotOnPathIsNotStarted(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, p := range allPeers() {
		if err := p.start(t.Context(), &bench{dir: t.TempDir()}, peerPlace{}); err == nil || err.Error() != "not on PATH" {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestConfigurationsOfPeersNameTheirPlace(t *testing.T) {
	at := peerPlace{redis: "127.0.0.1:7001", dir: "/d", port: 7002, tlsPort: 7003, cert: "/d/c.pem", key: "/d/k.pem"}

	config, args, err := webdisConfig("/d/w", at)
	if err != nil {
		t.Fatal(err)
	}
	var webdis struct {
		RedisHost string `json:"redis_host"`
		RedisPort int    `json:"redis_port"`
		HTTPPort  int    `json:"http_port"`
		Threads   int    `json:"threads"`
	}
	if err := json.Unmarshal([]byte(config), &webdis); err != nil {
		t.Fatal(err)
	}
	if webdis.RedisHost != "127.0.0.1" || webdis.RedisPort != 7001 || webdis.HTTPPort != 7002 || webdis.Threads != 1 {
		t.Errorf("webdis: %+v", webdis)
	}
	if len(args) != 1 || args[0] != "/d/w" {
		t.Errorf("webdis: arguments %q", args)
	}

	config, _, err = nginxConfig("/d/n", at)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`connect("127.0.0.1", 7001)`, "listen 127.0.0.1:7002;", "listen 127.0.0.1:7003 ssl;",
		"pid /d/nginx.pid;", "ssl_certificate /d/c.pem;", "ssl_certificate_key /d/k.pem;",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("nginx: %q is missing", want)
		}
	}
}

func TestRequestsHaveTheFormOfTheirProgram(t *testing.T) {
	for _, c := range []struct {
		side      side
		path, set string
	}{
		{side{}, "/cache/key-0000000000000007", "POST /cache/key-0000000000000007 HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nab"},
		{side{form: &allPeers()[0].form}, "/GET/key-0000000000000007.txt", "PUT /SET/key-0000000000000007 HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nab"},
	} {
		f := c.side.requests()
		if got := f.path(7); got != c.path {
			t.Errorf("path %q, want %q", got, c.path)
		}
		if got := f.set(7, "ab"); got != c.set {
			t.Errorf("write %q, want %q", got, c.set)
		}
	}
}

// Each side of each kind of request must have a site, and Caddy serves only its own.
func TestSidesOfPeersHaveSites(t *testing.T) {
	peers := allPeers()
	sites := map[string]site{}
	for i, s := range peerSites(peers, "/d/c.pem /d/k.pem") {
		s.port = 8000 + i
		sites[s.name] = s
	}
	for _, what := range peerRows {
		sides := peerSides(peers, what)
		if sides[0].peer {
			t.Errorf("%s: the first side is a peer's", what)
		}
		for _, s := range sides {
			site, ok := sites[s.site]
			if !ok {
				t.Errorf("%s: %s has no site %q", what, s.name, s.site)
			}
			if got, want := site.tls != "", strings.Contains(what, "TLS"); got != want {
				t.Errorf("%s: the site of %s has TLS: %v", what, s.name, got)
			}
			if s.peer != (site.peer != nil) {
				t.Errorf("%s: the site of %s is another program's", what, s.name)
			}
		}
	}
	for name, want := range map[string]bool{"read": true, "write-large-tls": true, "webdis": false, "webdis-tls": true, "nginx": false, "nginx-tls": false} {
		s := sites[name]
		if got := s.ofCaddy(); got != want {
			t.Errorf("Caddy serves %s: %v", name, got)
		}
	}
	s := sites["write-large-tls"]
	config := caddyfile([]site{s}, 1, "redis://r")
	for _, want := range []string{"https://:", "\ttls /d/c.pem /d/k.pem\n", "namespace write-large\n"} {
		if !strings.Contains(config, want) {
			t.Errorf("%q is not in:\n%s", want, config)
		}
	}
}

func TestPeersAreComparedRoundByRound(t *testing.T) {
	round := func(requests int, server, redis time.Duration) sample {
		return sample{outcome: outcome{requests: requests, duration: time.Second}, wall: time.Second, server: server, redis: redis}
	}
	ours, theirs := &side{name: "this module"}, &side{name: "webdis", peer: true}
	lines := peerLines("peers: GET", []*side{ours, theirs}, map[*side][]sample{
		ours:   {round(100, time.Second, time.Second), round(10, time.Second, 0), round(100, time.Second, 0)},
		theirs: {round(200, time.Second, 0), round(40, time.Second, 0), round(400, time.Second, 0)},
	}, map[*side]string{theirs: "it is silent"})
	if len(lines) != 2 || lines[0].rate != nil {
		t.Fatalf("%+v", lines)
	}
	// In the rounds: 0.5, 0.25, 0.25 of the rate; 4, 4, 4 times the CPU time.
	cells := strings.Join(lines[1].cells(), "|")
	for _, want := range []string{"GET|webdis, **INVALID**|200|", "|0.25 ×|4.00 ×|", "|–|–|5000.0 µs|0.0 µs|"} {
		if !strings.Contains(cells, want) {
			t.Errorf("%q is not in %q", want, cells)
		}
	}
}

func TestAFewFailedRequestsOfAPeerAreOnlyANote(t *testing.T) {
	for _, c := range []struct {
		failed int
		want   string
	}{{1, "webdis"}, {2, "webdis, **INVALID**"}} {
		l := peerLine{program: "webdis", rate: []float64{1}, samples: []sample{{outcome: outcome{requests: 1999, badStatus: c.failed}}}}
		l.invalid = failures(l.samples)
		if got := l.cells()[1]; got != c.want {
			t.Errorf("%d of 1999: %q, want %q", c.failed, got, c.want)
		}
		if l.rate = nil; l.cells()[1] != "webdis, **INVALID**" {
			t.Errorf("%d of 1999 of this module are only a note", c.failed)
		}
	}
}

func TestPeerWithoutDebianHasAVersionOfUnknown(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got := packaged(context.Background(), "webdis"); got != "webdis unknown" {
		t.Error(got)
	}
}
