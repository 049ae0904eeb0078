package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// readBody reads the body, at most one byte more than max_value_size. The caller owns
// the bytes.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, room *room) ([]byte, error) {
	switch {
	case r.ContentLength > s.config.MaxValueSize:
		return nil, s.tooLarge()
	case r.Body == nil || r.ContentLength == 0:
		return nil, nil
	case r.ContentLength < 0:
		return s.readUnannounced(w, r, room)
	}
	if r.ContentLength > running.SmallBody {
		if err := s.admit(r, r.ContentLength, room); err != nil {
			return nil, err
		}
	}
	source, done := s.withTimeout(w, r)
	defer done()
	if room.body != nil {
		source = moving{source, room.body}
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(source, body); err != nil {
		return nil, readError(r, err)
	}
	return body, nil
}

// readUnannounced reads a body without Content-Length. If it is not small, it asks for
// the room of the largest body at once. Bodies that asked for more room step by step
// could wait for each other forever.
func (s *Server) readUnannounced(w http.ResponseWriter, r *http.Request, room *room) ([]byte, error) {
	source, done := s.withTimeout(w, r)
	defer done()
	first := min(running.SmallBody, s.config.MaxValueSize)
	body, err := io.ReadAll(io.LimitReader(source, first+1))
	if err == nil && int64(len(body)) > first && first < s.config.MaxValueSize {
		if full := s.admit(r, s.config.MaxValueSize, room); full != nil {
			return nil, full
		}
		whole := io.MultiReader(bytes.NewReader(body), moving{source, room.body})
		body, err = io.ReadAll(io.LimitReader(whole, s.config.MaxValueSize+1))
	}
	switch {
	case err != nil:
		return nil, readError(r, err)
	case int64(len(body)) > s.config.MaxValueSize:
		return nil, s.tooLarge()
	}
	return body, nil
}

// room is the part of running.Bodies that a request holds until it is answered. All
// bodies together have as much room as the queue. So a body that was read rarely meets a
// queue that other bodies fill.
type room struct{ body *running.Body }

func (m *room) leave() {
	if m.body != nil {
		m.body.End()
		m.body = nil
	}
}

// admit waits until there is room for a body.
func (s *Server) admit(r *http.Request, bytes int64, room *room) (err error) {
	room.body, err = s.config.Cache.Bodies.Admit(r.Context(), clientOf(r), bytes, s.waitLimitsFor(r))
	return err
}

// moving is a body that reports its progress.
type moving struct {
	io.Reader
	body *running.Body
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.body.Move()
	}
	return n, err
}

// withTimeout returns a body that fails if no byte arrives for body_timeout. The caller
// must call done before the handler returns.
//
// Caddy has its own bound on such pauses, `read_body_idle` within `read_body`, and
// handles the connection afterwards. If it is on, the shorter of both timeouts holds.
func (s *Server) withTimeout(w http.ResponseWriter, r *http.Request) (body io.Reader, done func()) {
	body, _, done = s.timedBody(w, r)
	return body, done
}

// timedBody is withTimeout. It also returns who sets the read deadlines.
func (s *Server) timedBody(w http.ResponseWriter, r *http.Request) (io.Reader, *caddyhttp.IdleTimeoutReader, func()) {
	if caddys, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); caddys != nil {
		return r.Body, caddys, caddys.Override(min(s.config.BodyTimeout, caddys.Deadline.Timeout), caddys.Deadline.MinRate)
	}
	reader := &caddyhttp.IdleTimeoutReader{
		ReadCloser:        r.Body,
		Ctrl:              http.NewResponseController(w),
		Deadline:          caddyhttp.IdleDeadline{Timeout: s.config.BodyTimeout, HardDeadline: readDeadline(r)},
		Logger:            s.config.Logger,
		DrainDeadline:     r.ProtoMajor == 1,
		ClearBetweenReads: r.ProtoMajor == 2,
	}
	return reader, reader, reader.HandlerDone
}

// readDeadline returns the time at which Caddy's `read_body` ends a request, or the zero
// time if it is off.
func readDeadline(r *http.Request) time.Time {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	begin, _ := caddyhttp.GetVar(r.Context(), "start_time").(time.Time)
	if server == nil || server.ReadTimeout <= 0 || begin.IsZero() {
		return time.Time{}
	}
	return begin.Add(time.Duration(server.ReadTimeout))
}

func (s *Server) tooLarge() error {
	return tooLarge.because(fmt.Sprintf("the body has more than %d bytes, the limit that max_value_size sets", s.config.MaxValueSize))
}

func readError(r *http.Request, err error) error {
	_, isHandlerError := errors.AsType[caddyhttp.HandlerError](err)
	_, isMaxBytes := errors.AsType[*http.MaxBytesError](err)
	switch {
	case isHandlerError || isMaxBytes: // another handler bounds the body, such as request_body
		return tooLarge.passOn(err)
	// This case comes before the context's: net/http also cancels the context on this error.
	case errors.Is(err, os.ErrDeadlineExceeded):
		return slowBody.because("the body did not arrive in time; repeat the request")
	case errors.Is(err, io.ErrUnexpectedEOF) || r.Context().Err() != nil:
		return clientGone.passOn(err)
	default:
		return badRequest("the body cannot be read: %v", err)
	}
}

// clientOf returns the address that tells clients apart. It is Caddy's client IP, and
// for IPv6 the network: one customer has all addresses of a /64.
func clientOf(r *http.Request) netip.Addr {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if ip == "" {
		ip, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		network, _ := addr.Prefix(64)
		addr = network.Addr()
	}
	return addr
}

// waitLimitsFor returns how long a body waits for room. All requests of an HTTP/2 or
// HTTP/3 connection share its flow-control window. A body that nobody reads blocks the
// other bodies, even admitted ones, and must give up before they time out.
func (s *Server) waitLimitsFor(r *http.Request) running.BodyWait {
	if r.ProtoMajor >= 2 {
		return running.BodyWait{Idle: min(time.Second, s.config.BodyTimeout/2), Total: s.config.BodyTimeout / 2}
	}
	return running.BodyWait{Idle: s.config.BodyTimeout, Total: 10 * s.config.BodyTimeout}
}
