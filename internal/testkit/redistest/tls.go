package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CA issues the certificates of a test.
type CA struct {
	File string // its own certificate

	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Pair has the files of a certificate and of its key.
type Pair struct{ Cert, Key string }

// NewCA returns a CA with the common name name. change changes its certificate, if it is
// not nil.
func NewCA(t testing.TB, name string, change func(*x509.Certificate)) *CA {
	t.Helper()
	ca := &CA{t: t, certificate: template(name, change), key: newKey(t)}
	ca.certificate.IsCA, ca.certificate.BasicConstraintsValid = true, true
	ca.certificate.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca.certificate, ca.certificate, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	ca.File = writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", der)
	return ca
}

// Issue writes a certificate with the common name name, for the address of all servers of
// tests. change changes the certificate, if it is not nil.
func (ca *CA) Issue(name string, change func(*x509.Certificate)) Pair {
	ca.t.Helper()
	dir := ca.t.TempDir()
	p := Pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	ca.IssueTo(p, name, change)
	return p
}

// IssueTo is Issue with names of files. It replaces files that exist.
func (ca *CA) IssueTo(p Pair, name string, change func(*x509.Certificate)) {
	ca.t.Helper()
	key := newKey(ca.t)
	c := template(name, func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		if change != nil {
			change(c)
		}
	})
	der, err := x509.CreateCertificate(rand.Reader, c, ca.certificate, &key.PublicKey, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	writePEM(ca.t, p.Cert, "CERTIFICATE", der)
	writePEM(ca.t, p.Key, "PRIVATE KEY", private)
}

// ServerArgs returns arguments for servers whose port speaks TLS with the certificate p,
// also to each other. auth is yes if they demand certificates of the CA from clients.
func (ca *CA) ServerArgs(p Pair, auth string) []string {
	return []string{
		"--tls-cert-file", p.Cert, "--tls-key-file", p.Key, "--tls-ca-cert-file", ca.File, "--tls-auth-clients", auth,
		"--tls-replication", "yes", "--tls-cluster", "yes",
	}
}

// tlsArgs returns those of args that are about TLS.
func tlsArgs(args []string) (about []string) {
	for i, arg := range args {
		if strings.HasPrefix(arg, "--tls-") {
			about = append(about, arg, args[i+1])
		}
	}
	return about
}

func template(name string, change func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
