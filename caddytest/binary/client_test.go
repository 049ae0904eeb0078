package binary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// client sends requests to a caddy over connections of its own.
type client struct {
	http *http.Client
	base string
}

func newClient(t testing.TB, c *caddy, conns int) *client {
	t.Helper()
	transport := &http.Transport{MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Transport: transport, Timeout: patience}, base: "http://" + c.addr}
}

// overHTTP2 makes the client speak HTTP/2 without TLS.
func (c *client) overHTTP2() *client {
	transport := c.http.Transport.(*http.Transport)
	transport.MaxConnsPerHost = 0 // it would count streams as connections
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return c
}

// answer is the answer to a request; err says that none came.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// send sends a request; headers are pairs of a name and a value.
func (c *client) send(method, path, body string, headers ...string) answer {
	var content io.Reader
	if method == http.MethodPost || method == http.MethodPut {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, c.base+path, content)
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "text/plain")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.do(req)
}

func (c *client) do(req *http.Request) answer {
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	_, err = got.ReadFrom(resp.Body)
	if err != nil && req.Method == http.MethodGet {
		return answer{err: err} // a status without its body acknowledges a write, but not a read
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: got.String()}
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %.300s", a.status, a.body)
}

// fate is the fate of a write, as far as the answer tells.
type fate int

const (
	decided   fate = iota // the status tells it
	unchanged             // the write was not applied
	unknown               // the write may have been applied, or may still be
)

func (a answer) fate() fate {
	if op, ok := errors.AsType[*net.OpError](a.err); ok && op.Op == "dial" {
		return unchanged // it was never sent
	}
	if a.err != nil {
		return unknown
	}
	if a.status != http.StatusServiceUnavailable {
		return decided
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal([]byte(a.body), &problem) == nil && strings.Contains(problem.Detail, "nothing was changed") {
		return unchanged
	}
	return unknown
}
