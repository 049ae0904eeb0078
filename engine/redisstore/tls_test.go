package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// certificates are what a side of a connection knows: its CA, and its own certificate.
type certificates struct {
	ca   *redistest.CA
	own  *redistest.Pair
	name string // of the server
}

// target returns the target of a URL with TLS.
func (c certificates) target(t *testing.T, url string) *Target {
	t.Helper()
	s := &TLS{ServerName: c.name}
	var err error
	if c.ca != nil {
		err = s.ReadCA([]string{c.ca.File})
	}
	if err == nil && c.own != nil {
		err = s.ReadCertificate(c.own.Cert, c.own.Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, url).WithTLS(s)
}

// openTLS opens a store whose log has INFO too.
func openTLS(t *testing.T, target *Target) (*Store, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	s := New(Config{Target: target, Namespace: "cache", Logger: zap.New(core)})
	t.Cleanup(func() { _ = s.Close() })
	return s, logs
}

// inThePast is a validity that has ended.
func inThePast(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
}

// onlyTheName is for servers that are known by a name alone.
func onlyTheName(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"redis.test"} }

func issue(ca *redistest.CA, name string, change func(*x509.Certificate)) *redistest.Pair {
	p := ca.Issue(name, change)
	return &p
}

func TestTLSServesWithTheFilesThatItNeeds(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	for _, c := range []struct {
		name   string
		server func(*x509.Certificate)
		auth   string
		args   []string
		client certificates
		option string
	}{
		{name: "a CA of one's own", auth: "no", client: certificates{ca: ca}},
		{name: "a server that only asks for a certificate", auth: "optional", client: certificates{ca: ca}},
		{name: "a client certificate", auth: "yes", client: certificates{ca: ca, own: issue(ca, "cache", nil)}},
		{name: "a client certificate without TLS 1.3", auth: "yes", args: []string{"--tls-protocols", "TLSv1.2"}, client: certificates{ca: ca, own: issue(ca, "cache", nil)}},
		{name: "another name than the address", auth: "no", server: onlyTheName, client: certificates{ca: ca, name: "redis.test"}},
		{name: "a client certificate for a server that is not checked", auth: "yes", server: inThePast, client: certificates{own: issue(ca, "cache", nil)}, option: "?skip_verify=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
			server := redistest.Start(t, append(ca.ServerArgs(ca.Issue("redis", c.server), c.auth), c.args...)...)
			s, logs := openTLS(t, c.client.target(t, server.URL()+c.option))
			f.store = s
			f.outcomes(f.apply(create("a", "1")), store.Created)
			if got := f.fetch("a"); got.Entries[0] == nil {
				t.Error("the entry is not there")
			}
			if logs.Len() > 0 {
				t.Error(logs.All())
			}
		})
	}
}

func TestEachFaultOfCertificatesIsNamedInTheLog(t *testing.T) {
	ca, other := redistest.NewCA(t, "our CA", nil), redistest.NewCA(t, "another CA", nil)
	good := certificates{ca: ca}
	without13 := []string{"--tls-protocols", "TLSv1.2"}
	strange, old, onlyServers := issue(other, "stranger", nil), issue(ca, "outdated", inThePast), issue(ca, "no client", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	for _, c := range []struct {
		name   string
		server func(*x509.Certificate)
		auth   string
		args   []string
		client certificates
		advice []string
	}{
		{
			name: "a CA that this machine does not know", auth: "no",
			advice: []string{"the certificate of 127.0.0.1:", "(CN=redis)", "issued by CN=our CA", "set redis_ca to a file"},
		},
		{
			name: "another CA", auth: "no", client: certificates{ca: other},
			advice: []string{"(CN=redis)", "issued by CN=our CA", "redis_ca (" + other.File + ")"},
		},
		{
			name: "another name", auth: "no", server: onlyTheName, client: good,
			advice: []string{"(CN=redis) is for redis.test, and not for 127.0.0.1", "redis_server_name"},
		},
		{
			name: "a name that the certificate does not have", auth: "no", client: certificates{ca: ca, name: "cache.test"},
			advice: []string{"is for 127.0.0.1, and not for cache.test", "redis_server_name"},
		},
		{
			name: "no name at all", auth: "no", client: certificates{ca: ca, name: "redis"},
			server: func(c *x509.Certificate) { c.IPAddresses = nil },
			advice: []string{"for no name at all (it has no subjectAltName), and not for redis"},
		},
		{
			name: "an expired certificate", auth: "no", server: inThePast, client: good,
			advice: []string{"(CN=redis) is valid from 2020-01-02T03:04:05Z to 2021-01-02T03:04:05Z only", "clock"},
		},
		{
			name: "a server that demands a client certificate", auth: "yes", client: good,
			advice: []string{"the server wants a client certificate: set redis_cert"},
		},
		{
			name: "a server without TLS 1.3 that demands a client certificate", auth: "yes", args: without13, client: good,
			advice: []string{"the server wants a client certificate: set redis_cert"},
		},
		{
			name: "a client certificate of another CA", auth: "yes", client: certificates{ca: ca, own: strange},
			advice: []string{"does not accept the client certificate in redis_cert (" + strange.Cert + "; CN=stranger, issued by CN=another CA", "issued by a CA of the server"},
		},
		{
			name: "a client certificate of another CA without TLS 1.3", auth: "yes", args: without13, client: certificates{ca: ca, own: strange},
			advice: []string{"redis_cert (" + strange.Cert + "; CN=stranger, issued by CN=another CA", "issued by a CA of the server"},
		},
		{
			name: "an expired client certificate", auth: "yes", client: certificates{ca: ca, own: old},
			advice: []string{"redis_cert (" + old.Cert + "; CN=outdated", "from 2020-01-02T03:04:05Z to 2021-01-02T03:04:05Z", "put a valid one into the file"},
		},
		{
			name: "a certificate that is not for clients", auth: "yes", client: certificates{ca: ca, own: onlyServers},
			advice: []string{"redis_cert (" + onlyServers.Cert + "; CN=no client", "may be used by clients"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
			server := redistest.Start(t, append(ca.ServerArgs(ca.Issue("redis", c.server), c.auth), c.args...)...)
			s, logs := openTLS(t, c.client.target(t, server.URL()))
			s.CheckOrWarn(f.ctx())
			for range 10 {
				_, fetch := s.Fetch(f.within(time.Second), []string{"a"}, store.AnyRoom)
				_, apply := s.Apply(f.within(time.Second), store.Batch{Limits: f.limits, Writes: someWrites()})
				for _, err := range []error{fetch, apply} {
					if store.CauseOf(err) != store.TLS || errors.Is(err, store.ErrFateUnknown) {
						t.Errorf("the cause of %v is %q", err, store.CauseOf(err))
					}
				}
			}
			wantOneLine(t, logs, store.TLS)
			for _, want := range c.advice {
				if advice, _ := logs.All()[0].ContextMap()["advice"].(string); !strings.Contains(advice, want) {
					t.Errorf("the advice does not say %q: %s", want, advice)
				}
			}
		})
	}
}

// A server may begin to demand a certificate while it is used.
func TestARefusedCertificateIsNamedAfterConnectionsThatWorked(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	server := redistest.Start(t, ca.ServerArgs(ca.Issue("redis", nil), "no")...)
	s, _ := openTLS(t, certificates{ca: ca}.target(t, server.URL()))
	f.store = s
	f.apply(create("a", "1"))
	control := server.Client()
	if err := control.ConfigSet(f.ctx(), "tls-auth-clients", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	if err := control.ClientKillByFilter(f.ctx(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	// A connection may also end without the alert, and then looks like an outage.
	for ctx := f.ctx(); ; {
		_, err := s.Fetch(f.within(time.Second), []string{"a"}, store.AnyRoom)
		if err == nil || ctx.Err() != nil {
			t.Fatal(err)
		}
		if store.CauseOf(err) == store.TLS {
			if !strings.Contains(err.Error(), "set redis_cert") {
				t.Error(err)
			}
			return
		}
	}
}

func TestSentinelsAndTheirServersMayUseTLS(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	g := redistest.StartGuarded(t, ca.ServerArgs(ca.Issue("redis", onlyTheName), "yes")...)
	client := certificates{ca: ca, own: issue(ca, "cache", nil), name: "redis.test"}
	overFailovers(t, client.target(t, g.URL()), g)
	for want, wrong := range map[string]certificates{
		"set redis_ca":      {own: client.own, name: client.name},
		"set redis_cert":    {ca: ca, name: client.name},
		"redis_server_name": {ca: ca, own: client.own},
	} {
		wantTLSFault(t, wrong.target(t, g.URL()), want)
	}
}

func TestNodesOfAClusterMayUseTLS(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	c := redistest.StartCluster(t, 3, ca.ServerArgs(ca.Issue("redis", onlyTheName), "yes")...)
	client := certificates{ca: ca, own: issue(ca, "cache", nil), name: "redis.test"}
	overTakeovers(t, client.target(t, c.URL()), c)
	for want, wrong := range map[string]certificates{
		"set redis_ca":      {own: client.own, name: client.name},
		"set redis_cert":    {ca: ca, name: client.name},
		"redis_server_name": {ca: ca, own: client.own},
	} {
		wantTLSFault(t, wrong.target(t, c.URL()), want)
	}
}

// wantTLSFault fails the test unless a call fails with the advice.
func wantTLSFault(t *testing.T, target *Target, advice string) {
	t.Helper()
	f := &fixture{T: t}
	s, _ := openTLS(t, target)
	_, err := s.Fetch(f.within(2*time.Second), []string{"a"}, store.AnyRoom)
	if store.CauseOf(err) != store.TLS || !strings.Contains(err.Error(), advice) {
		t.Errorf("%v; want the cause tls, and %s", err, advice)
	}
}

func TestFilesThatAreNotWhatTheyShouldBeAreErrors(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	one, two := ca.Issue("one", nil), ca.Issue("two", nil)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "file.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	text := write("no PEM")
	broken := write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	locked := write("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for _, c := range []struct {
		name string
		read func(s *TLS) error
		want string
	}{
		{"a CA that is not there", func(s *TLS) error { return s.ReadCA([]string{ca.File, missing}) }, missing + ": no such file or directory; write the path of a file"},
		{"a directory", func(s *TLS) error { return s.ReadCA([]string{filepath.Dir(ca.File)}) }, "is a directory; write the path of a file"},
		{"a CA that is no PEM", func(s *TLS) error { return s.ReadCA([]string{text}) }, text + " has no certificate in PEM form; write"},
		{"the key of a CA", func(s *TLS) error { return s.ReadCA([]string{one.Key}) }, one.Key + " has no certificate in PEM form; write"},
		{"a broken CA", func(s *TLS) error { return s.ReadCA([]string{broken}) }, "certificate 1 in " + broken + " cannot be read; make"},
		{"a certificate that is not there", func(s *TLS) error { return s.ReadCertificate(missing, one.Key) }, missing + ": no such file or directory; write"},
		{"a key that is not there", func(s *TLS) error { return s.ReadCertificate(one.Cert, missing) }, missing + ": no such file or directory; write"},
		{"both in the wrong order", func(s *TLS) error { return s.ReadCertificate(one.Key, one.Cert) }, one.Key + " has no certificate in PEM form; write"},
		{"the certificate twice", func(s *TLS) error { return s.ReadCertificate(one.Cert, one.Cert) }, one.Cert + " has no private key in PEM form; write"},
		{"an encrypted key", func(s *TLS) error { return s.ReadCertificate(one.Cert, locked) }, "the key in " + locked + " is encrypted; store it without"},
		{"the key of another certificate", func(s *TLS) error { return s.ReadCertificate(one.Cert, two.Key) }, "the key in " + two.Key + " does not fit the certificate in " + one.Cert + "; write"},
		{"all that they should be", func(s *TLS) error {
			return errors.Join(s.ReadCA([]string{ca.File, one.Cert}), s.ReadCertificate(one.Cert, one.Key))
		}, ""},
	} {
		err := c.read(new(TLS))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

func TestServerNames(t *testing.T) {
	for name, isOne := range map[string]bool{
		"redis.example.com": true, "redis": true, "10.0.0.1": true, "::1": true,
		"": false, "redis:6379": false, "rediss://redis": false, "*.example.com": false, "a b": false,
	} {
		if err := CheckServerName(name); (err == nil) != isOne {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCertificatesThatAreNotValidAreWarnedOf(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	old := redistest.NewCA(t, "old CA", inThePast)
	early := issue(ca, "early", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	})
	core, logs := observer.New(zap.InfoLevel)
	certificates{ca: ca, own: issue(ca, "cache", nil)}.target(t, "rediss://host").WarnOfCertificates(zap.New(core))
	if logs.Len() > 0 {
		t.Error(logs.All())
	}
	certificates{ca: old, own: early}.target(t, "rediss://host").WarnOfCertificates(zap.New(core))
	lines := logs.All()
	if len(lines) != 2 {
		t.Fatal(lines)
	}
	first, second := lines[0].ContextMap(), lines[1].ContextMap()
	if !strings.Contains(lines[0].Message, "redis_ca is not valid now") || first["file"] != old.File || first["subject"] != "CN=old CA" ||
		first["not_before"] != "2020-01-02T03:04:05Z" || first["not_after"] != "2021-01-02T03:04:05Z" {
		t.Errorf("%s: %v", lines[0].Message, first)
	}
	if !strings.Contains(lines[1].Message, "redis_cert is not valid now") || second["file"] != early.Cert || second["subject"] != "CN=early" {
		t.Errorf("%s: %v", lines[1].Message, second)
	}
}

func TestATargetNoticesOtherContentOfItsFiles(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	own := ca.Issue("cache", nil)
	with := func(c certificates) *Target { return c.target(t, "rediss://host") }
	before := with(certificates{ca: ca, own: &own})
	if same := with(certificates{ca: ca, own: &own}); !before.HasTLSOf(same) {
		t.Error("the same files count as others")
	}
	if before.HasTLSOf(with(certificates{ca: ca})) || before.HasTLSOf(with(certificates{ca: ca, own: &own, name: "redis"})) {
		t.Error("other settings count as the same")
	}
	ca.IssueTo(own, "cache", nil)
	if before.HasTLSOf(with(certificates{ca: ca, own: &own})) {
		t.Error("a new certificate counts as the same")
	}
}

// If a server refuses a certificate while the client writes, the client sees only the end
// of the connection. A listener without TLS ends connections too, and asked for nothing.
func TestTheEndOfAConnectionIsARefusalOnlyIfACertificateWasAskedFor(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	pair := ca.Issue("redis", nil)
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	asking := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	for want, shakeHands := range map[string]func(net.Conn){
		"set redis_cert":         func(conn net.Conn) { _ = tls.Server(conn, asking).Handshake() },
		"does not answer to TLS": func(net.Conn) {},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				shakeHands(conn)
				conn.Close()
			}
		}()
		wantTLSFault(t, certificates{ca: ca}.target(t, "rediss://"+l.Addr().String()), want)
		l.Close()
		<-ended
	}
}
