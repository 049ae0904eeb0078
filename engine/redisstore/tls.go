package redisstore

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
)

// TLS is what connections with TLS need beside the URL. The zero value trusts the CAs of
// the system, has no certificate for the server to check, and verifies that the server's
// certificate is for the host that was dialed.
type TLS struct {
	// ServerName is verified in place of the host. Servers that Sentinels or a cluster
	// name are mostly addresses, and a certificate seldom has those.
	ServerName string

	roots *x509.CertPool   // nil: those of the system
	own   *tls.Certificate // nil: none
	// certificates are all that were read from files.
	certificates []fileCertificate
	digest       [sha256.Size]byte // of all files
}

// fileCertificate is a certificate in the file of a setting.
type fileCertificate struct {
	setting, file string
	*x509.Certificate
}

// ReadCA reads files with certificates in PEM form, which are trusted in place of those of
// the system.
func (s *TLS) ReadCA(files []string) error {
	for _, file := range files {
		_, found, err := s.read("redis_ca", file)
		if err != nil {
			return err
		}
		if s.roots == nil {
			s.roots = x509.NewCertPool()
		}
		for _, certificate := range found {
			s.roots.AddCert(certificate)
		}
	}
	return nil
}

// ReadCertificate reads the certificate that the server may check, and its key. More
// certificates in its file are those between it and the server's CA.
func (s *TLS) ReadCertificate(certFile, keyFile string) error {
	chain, _, err := s.read("redis_cert", certFile)
	if err != nil {
		return err
	}
	key, err := s.readFile(keyFile)
	if err != nil {
		return err
	}
	if !hasBlock(key, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }) {
		return fmt.Errorf("%s has no private key in PEM form; write the file of the certificate, and then the file of its key", keyFile)
	}
	if hasBlock(key, func(kind string) bool { return kind == "ENCRYPTED PRIVATE KEY" }) {
		return fmt.Errorf("the key in %s is encrypted; store it without a password (openssl pkey -in %s -out …), in a file that only Caddy may read", keyFile, keyFile)
	}
	own, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return fmt.Errorf("the key in %s does not fit the certificate in %s; write the two that were made together: %w", keyFile, certFile, err)
	}
	s.own = &own
	return nil
}

// read reads a file with at least one certificate.
func (s *TLS) read(setting, file string) (text []byte, found []*x509.Certificate, err error) {
	if text, err = s.readFile(file); err != nil {
		return nil, nil, err
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate %d in %s cannot be read; make the file anew: %w", len(found)+1, file, err)
		}
		found = append(found, certificate)
		s.certificates = append(s.certificates, fileCertificate{setting, file, certificate})
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("%s has no certificate in PEM form; write a file with -----BEGIN CERTIFICATE-----", file)
	}
	return text, found, nil
}

func (s *TLS) readFile(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w; write the path of a file that this process may read", err)
	}
	one := sha256.Sum256(text)
	s.digest = sha256.Sum256(append(s.digest[:], one[:]...))
	return text, nil
}

func hasBlock(text []byte, is func(kind string) bool) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if is(block.Type) {
			return true
		}
	}
}

// CheckServerName returns an error for a text that cannot be the name in a certificate.
func CheckServerName(name string) error {
	if !isHost(name) {
		return errors.New("it is no name of a server; write a name of letters, digits, dots and hyphens, or an address, without a port")
	}
	return nil
}

// HasTLS reports whether connections to t use TLS.
func (t *Target) HasTLS() bool { return t.options.TLSConfig != nil }

// IsSocket reports whether t is a Unix socket.
func (t *Target) IsSocket() bool { return t.kind == socket }

// SkipsVerify reports whether the URL says not to check the server's certificate.
func (t *Target) SkipsVerify() bool { return t.HasTLS() && t.options.TLSConfig.InsecureSkipVerify }

// WithTLS returns t, which must have TLS, with s for all of its servers.
func (t *Target) WithTLS(s *TLS) *Target {
	changed := t.clone()
	changed.secure = *s
	changed.options.TLSConfig = t.options.TLSConfig.Clone()
	changed.options.TLSConfig.RootCAs = s.roots
	return changed
}

// HasTLSOf reports whether t and other have the same server name, and the same content of
// the files.
func (t *Target) HasTLSOf(other *Target) bool {
	return t.secure.ServerName == other.secure.ServerName && t.secure.digest == other.secure.digest
}

// WarnOfCertificates logs the certificates of files that are not valid now.
func (t *Target) WarnOfCertificates(logger *zap.Logger) {
	now := time.Now()
	for _, c := range t.secure.certificates {
		if isValidAt(c.Certificate, now) {
			continue
		}
		logger.Warn("a certificate in the file of "+c.setting+" is not valid now; put a valid one into the file, and load the configuration again",
			zap.String("file", c.file), zap.String("subject", subject(c.Certificate)),
			zap.String("not_before", date(c.NotBefore)), zap.String("not_after", date(c.NotAfter)))
	}
}

func isValidAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// filesOf returns the names of the files of a setting, as one text.
func (s *TLS) filesOf(setting string) string {
	var files []string
	for _, c := range s.certificates {
		if c.setting == setting && (len(files) == 0 || files[len(files)-1] != c.file) {
			files = append(files, c.file)
		}
	}
	return strings.Join(files, ", ")
}
