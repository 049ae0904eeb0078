package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// handshakeError says that a connection was made, and the TLS handshake on it failed.
type handshakeError struct {
	error
	addr string
}

func (e *handshakeError) Unwrap() error { return e.error }

// silentAdvice is for a server that accepts connections and does not answer to TLS. A
// Redis on a plain port behaves like that: it waits for the end of a line.
const silentAdvice = "the server does not answer to TLS: if its port is a plain one, write redis:// in store in place of rediss://"

// advice says what to do about a failed handshake with a server of target.
func (e *handshakeError) advice(target *Target) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](e.error); ok {
		return "the port does not speak TLS: write redis:// in store in place of rediss://, or the port that does"
	}
	if advice := target.alertAdvice(e.error); advice != "" {
		return advice
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](e.error); ok {
		return e.unknownAuthorityAdvice(target, unknown.Cert)
	}
	if wrong, ok := errors.AsType[x509.HostnameError](e.error); ok {
		return fmt.Sprintf("the certificate of %s (%s) is for %s, and not for %s: write a name that it has in store, or set redis_server_name to one",
			e.addr, subject(wrong.Certificate), names(wrong.Certificate), wrong.Host)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.error); ok && invalid.Reason == x509.Expired {
		return fmt.Sprintf("a certificate of %s (%s) is valid from %s to %s only: give the server a new one, or see whether the clock of this machine is right",
			e.addr, subject(invalid.Cert), date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter))
	}
	if target.isRefusedLate(e.error) {
		return target.ownAdvice()
	}
	if isTimeout(e.error) || isClosed(e.error) {
		return silentAdvice
	}
	return "the TLS handshake with " + e.addr + " failed: see whether the server has a certificate for the host in store, and the version of TLS"
}

func (e *handshakeError) unknownAuthorityAdvice(target *Target, c *x509.Certificate) string {
	of := fmt.Sprintf("the certificate of %s (%s) was issued by %s, ", e.addr, subject(first(e.error, c)), c.Issuer)
	if files := target.secure.filesOf("redis_ca"); files != "" {
		return of + "and no valid CA in redis_ca (" + files + ") is that: put the certificate of the server's CA into the file"
	}
	return of + "which this machine does not trust: set redis_ca to a file with the certificate of the server's CA"
}

// first returns the certificate of the server itself in a failed verification. The one that
// could not be verified may be a CA that the server has sent too.
func first(err error, otherwise *x509.Certificate) *x509.Certificate {
	if failed, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(failed.UnverifiedCertificates) > 0 {
		return failed.UnverifiedCertificates[0]
	}
	return otherwise
}

// Alerts of RFC 8446 in which a server speaks of the client's certificate.
const (
	handshakeFailure       tls.AlertError = 40 // TLS 1.2 has no other for a missing one
	badCertificate         tls.AlertError = 42
	unsupportedCertificate tls.AlertError = 43
	revoked                tls.AlertError = 44
	expired                tls.AlertError = 45
	unknownCertificate     tls.AlertError = 46
	unknownCA              tls.AlertError = 48
	accessDenied           tls.AlertError = 49
	required               tls.AlertError = 116
)

// alertAdvice returns what to do about an alert of the server that is about the client's
// certificate; "" for any other error. With TLS 1.3, such an alert comes after the
// handshake, with the first answer.
func (t *Target) alertAdvice(err error) string {
	remote, ok := errors.AsType[*net.OpError](err)
	if !ok || remote.Op != "remote error" {
		return ""
	}
	// Package tls does not export the type of this error, only its texts.
	for _, a := range []tls.AlertError{handshakeFailure, badCertificate, unsupportedCertificate, revoked, expired, unknownCertificate, unknownCA, accessDenied, required} {
		if remote.Err.Error() == a.Error() && (a != handshakeFailure || t.asked.Load()) {
			return t.ownAdvice()
		}
	}
	return ""
}

// ownAdvice says what to do if the server does not accept the certificate of this side.
func (t *Target) ownAdvice() string {
	if t.secure.own == nil {
		return "the server wants a client certificate: set redis_cert to the files of one that it trusts, and of its key " +
			"(or set tls-auth-clients of Redis to no)"
	}
	own := t.secure.own.Leaf
	about := fmt.Sprintf("the server does not accept the client certificate in redis_cert (%s; %s, issued by %s, valid from %s to %s): ",
		t.secure.filesOf("redis_cert"), subject(own), own.Issuer, date(own.NotBefore), date(own.NotAfter))
	if !isValidAt(own, time.Now()) {
		return about + "put a valid one into the file, and load the configuration again"
	}
	return about + "set redis_cert to one that was issued by a CA of the server (tls-ca-cert-file of Redis), and that may be used by clients"
}

// isRefusedLate reports whether err may be the end of a connection by a server that does
// not accept the certificate of this side. If this side is writing at that moment, it does
// not get the alert.
func (t *Target) isRefusedLate(err error) bool {
	return t.asked.Load() && isClosed(err)
}

// subject names a certificate.
func subject(c *x509.Certificate) string {
	if name := c.Subject.String(); name != "" {
		return name
	}
	return fmt.Sprintf("serial number %x", c.SerialNumber)
}

// names returns the names of servers in a certificate, as one text. The common name in the
// subject is none of them.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all (it has no subjectAltName)"
	}
	return strings.Join(all, ", ")
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
