package docs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

// site is a Caddy that runs a Caddyfile of a page.
type site struct {
	ports  *ports
	dir    string
	client *http.Client
	log    child.Output
	ended  chan struct{} // closed when Caddy has ended
}

// appFolder is the folder that pages use for the files of a site.
const appFolder = "/srv/app"

// appFiles are the files in appFolder.
var appFiles = map[string]string{"index.html": "<h1>the app</h1>", "page.html": "{{upper `a page`}}"}

// clientsFile is the file that a page uses for the CA of client certificates.
const clientsFile = "/etc/caddy/clients.pem"

// options make Caddy serve the names on the pages by itself, on free ports.
const options = `	http_port 8081
	https_port 8443
	local_certs
	skip_install_trust
	auto_https disable_redirects
	admin localhost:2019
`

var (
	leadingComments = regexp.MustCompile(`\A(#.*\n)+`)
	shutdownDelay   = regexp.MustCompile(`(?m)^\tshutdown_delay .*$`)
)

// withOptions returns a Caddyfile with options, where it has none of its own. Its sites end
// without shutdown_delay: no load balancer has to notice.
func withOptions(caddyfile string) string {
	caddyfile = shutdownDelay.ReplaceAllString(caddyfile, "\tshutdown_delay 0s")
	own, hasOwn := strings.CutPrefix(leadingComments.ReplaceAllString(caddyfile, ""), "{\n")
	if !hasOwn {
		return "{\n" + options + "}\n" + caddyfile
	}
	block, _, _ := strings.Cut(own, "\n}\n")
	var missing strings.Builder
	for option := range strings.Lines(options) {
		name := strings.Fields(option)[0]
		if !regexp.MustCompile(`(?m)^\t` + name + `\b`).MatchString(block) {
			missing.WriteString(option)
		}
	}
	return "{\n" + missing.String() + own
}

// runSite runs a Caddyfile until the test ends. Requests to any host go there.
func runSite(t *testing.T, caddyfile string, env ...string) *site {
	t.Helper()
	s := &site{ports: newPorts(t), dir: t.TempDir(), ended: make(chan struct{})}
	dir := s.dir
	certificate := newCertificate(t, filepath.Join(dir, "clients.pem"))
	caddyfile = strings.ReplaceAll(inItsSite(caddyfile), clientsFile, filepath.Join(dir, "clients.pem"))
	caddyfile = strings.ReplaceAll(caddyfile, appFolder, filepath.Join(dir, "app"))
	if err := os.Mkdir(filepath.Join(dir, "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range appFiles {
		if err := os.WriteFile(filepath.Join(dir, "app", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(s.ports.replace(withOptions(caddyfile))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(builtCaddy(t), "run", "--config", file, "--adapter", "caddyfile")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &s.log, &s.log
	cmd.Env = append(os.Environ(), append(env, "HOME="+dir, "XDG_DATA_HOME="+dir+"/data", "XDG_CONFIG_HOME="+dir+"/config")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-s.ended
		}
		if t.Failed() {
			t.Logf("Caddy said:\n%s", s.log.String())
		}
	})

	dialer := new(net.Dialer)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			switch port {
			case "443":
				port = s.ports.replace("8443")
			case "80":
				port = s.ports.replace("8081")
			}
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate}},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport, Timeout: patience}
	return s
}

// withoutCertificate returns a client without a certificate.
func (s *site) withoutCertificate(t *testing.T) *http.Client {
	transport := s.client.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = nil
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// newCertificate makes a certificate that signs itself, and writes it to file.
func newCertificate(t *testing.T, file string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
