package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// hearingConn is a connection to a server that may turn it away: say an error and close,
// whatever it is asked. Redis does so in protected mode and if it has too many clients, a
// proxy if its server is down. go-redis takes such words for those of a server without HELLO,
// goes on, and fails at the next command, with an error that has lost the words. That of a
// hearingConn has them.
type hearingConn struct {
	net.Conn
	heard bool
	words atomic.Pointer[string] // the error that the server said first, while it said nothing else
}

func (c *hearingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err != nil:
		err = c.explain(err)
	case n == 0:
	case c.heard:
		if c.words.Load() != nil {
			c.words.Store(nil)
		}
	default:
		c.heard = true
		if first, isError := bytes.CutPrefix(p[:n], []byte("-")); isError {
			line, _, _ := bytes.Cut(first, []byte("\r\n"))
			words := string(line)
			c.words.Store(&words)
		}
	}
	return n, err
}

func (c *hearingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

// rawHearingConn is a hearingConn without TLS.
type rawHearingConn struct{ hearingConn }

// SyscallConn implements syscall.Conn, with which go-redis sees whether an idle connection is
// alive. With TLS it does not look.
func (c *rawHearingConn) SyscallConn() (syscall.RawConn, error) {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return raw.SyscallConn()
}

// explain adds the words of the server to the error of a connection that it closed.
func (c *hearingConn) explain(err error) error {
	words := c.words.Load()
	if words == nil || !isClosed(err) {
		return err
	}
	return &turnedAwayError{*words, err}
}

// isClosed reports whether the server closed the connection.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// turnedAwayError says that the server said one error and closed the connection.
type turnedAwayError struct {
	words string
	error
}

func (e *turnedAwayError) Error() string {
	return fmt.Sprintf("the server said %q, and closed the connection (%v)", e.words, e.error)
}

func (e *turnedAwayError) Unwrap() error { return e.error }
