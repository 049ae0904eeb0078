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

// readBody reads no further than one byte over the limit. The bytes belong to
// the caller.
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

// readUnannounced reads a body without a length. One that turns out not to be
// small gets room for the largest: were it to ask for more step by step, bodies
// would wait for each other.
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

// room is what a request has of arrivals until it is answered: a write that
// was read finds room in the queue, since there are no more of its kind.
type room struct{ body *running.Body }

func (m *room) leave() {
	if m.body != nil {
		m.body.End()
	}
}

// admit waits until there is room for a body.
func (s *Server) admit(r *http.Request, bytes int64, room *room) (err error) {
	room.body, err = s.config.Cache.Bodies.Admit(r.Context(), clientOf(r), bytes, s.waitLimitsFor(r))
	return err
}

// moving tells what comes of a body.
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

// withTimeout returns the body as one that fails when nothing of it comes for
// body_timeout. Done has to be called before the handler returns.
//
// Caddy bounds such pauses itself: by its `read_body_idle`, within `read_body`,
// with what HTTP/1.1 and HTTP/2 need to go on after it. So the shorter of the
// two holds.
func (s *Server) withTimeout(w http.ResponseWriter, r *http.Request) (body io.Reader, done func()) {
	if caddys, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); caddys != nil {
		return r.Body, caddys.Override(min(s.config.BodyTimeout, caddys.Deadline.Timeout), caddys.Deadline.MinRate)
	}
	reader := &caddyhttp.IdleTimeoutReader{
		ReadCloser:        r.Body,
		Ctrl:              http.NewResponseController(w),
		Deadline:          caddyhttp.IdleDeadline{Timeout: s.config.BodyTimeout, HardDeadline: readDeadline(r)},
		Logger:            s.config.Logger,
		DrainDeadline:     r.ProtoMajor == 1,
		ClearBetweenReads: r.ProtoMajor == 2,
	}
	return reader, reader.HandlerDone
}

// readDeadline is when Caddy's `read_body` ends a request; zero without it.
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
	// First, since net/http ends the context with any error on the connection.
	case errors.Is(err, os.ErrDeadlineExceeded):
		return slowBody.because("the body did not arrive in time; repeat the request")
	case errors.Is(err, io.ErrUnexpectedEOF) || r.Context().Err() != nil:
		return clientGone.passOn(err)
	default:
		return badRequest("the body cannot be read: %v", err)
	}
}

// clientOf tells clients apart by the address that Caddy takes for theirs, and
// of IPv6 by the network: one customer has all addresses of a /64.
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

// waitLimitsFor says for how long a body waits for room. All requests of an HTTP/2
// or HTTP/3 connection share its window: a body that is not read soon stops the
// others, those that were admitted among them, and has to give way before they
// fail.
func (s *Server) waitLimitsFor(r *http.Request) running.BodyWait {
	if r.ProtoMajor >= 2 {
		return running.BodyWait{Idle: min(time.Second, s.config.BodyTimeout/2), Total: s.config.BodyTimeout / 2}
	}
	return running.BodyWait{Idle: s.config.BodyTimeout, Total: 10 * s.config.BodyTimeout}
}
