// Command roundtrip is a plain HTTP server. For the path /ask it sends a PING to a Redis
// server, and waits for the answer. Other paths are answered at once. So its CPU time shows
// what one round trip costs any Go server, without a module, a pool or a script.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: roundtrip LISTEN-ADDRESS REDIS-ADDRESS")
		os.Exit(2)
	}
	err := http.ListenAndServe(os.Args[1], &server{redis: os.Args[2], idle: make(chan *conn, 128)})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// server answers requests. Its connections to Redis wait in idle.
type server struct {
	redis string
	idle  chan *conn
}

type conn struct {
	net.Conn
	answers *bufio.Reader
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ask" {
		if err := s.ping(); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
	}
	_, _ = w.Write([]byte("012345678901234567890123456789"))
}

func (s *server) ping() error {
	c, err := s.take()
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	if _, err := c.answers.ReadSlice('\n'); err != nil {
		return err
	}
	select {
	case s.idle <- c:
		return nil
	default:
		return c.Close()
	}
}

func (s *server) take() (*conn, error) {
	select {
	case c := <-s.idle:
		return c, nil
	default:
		c, err := net.Dial("tcp", s.redis)
		if err != nil {
			return nil, err
		}
		return &conn{c, bufio.NewReader(c)}, nil
	}
}
