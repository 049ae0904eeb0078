package integration

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// bulkLine is the answer to a line.
type bulkLine struct {
	Line   int
	Key    string
	Status int
	Value  any
}

// TestBulkRequestsOverEachVersion sends a line, reads its answer, and so on, through TLS and
// a Caddy with compression and timeouts.
func TestBulkRequestsOverEachVersion(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, `route {
	encode
	timeouts {
		read_timeout 1m
		write_timeout 1m
	}
	redis_proxy {
		store `+redis.URL()+`
		methods GET POST PUT DELETE
	}
}`)
	http3 := &http3.Transport{TLSClientConfig: s.http1.Transport.(*http.Transport).TLSClientConfig.Clone()}
	http3.TLSClientConfig.MinVersion = tls.VersionTLS13
	t.Cleanup(func() { http3.Close() })
	for name, c := range map[string]struct {
		client *http.Client
		url    string
	}{
		"HTTP/1.1":      {s.plain, "http://" + s.http},
		"HTTP/1.1, TLS": {s.http1, "https://" + s.https},
		"HTTP/2":        {s.http2, "https://" + s.https},
		"HTTP/3":        {&http.Client{Transport: http3, Timeout: patience}, "https://" + s.https},
	} {
		t.Run(name, func(t *testing.T) {
			body, to := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/cache", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-ndjson")
			req.Header.Set("Accept-Encoding", "identity")
			go func() { fmt.Fprintf(to, "{\"key\":%q,\"value\":0}\n", name) }()
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if want := strings.Split(name, ",")[0]; !strings.HasPrefix(resp.Proto, want) || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s over %s", resp.Status, resp.Proto)
			}
			answers := bufio.NewScanner(resp.Body)
			answers.Buffer(nil, 1<<20)
			read := func(want bulkLine) {
				t.Helper()
				var got bulkLine
				if !answers.Scan() {
					t.Fatalf("the answers end: %v", answers.Err())
				}
				if err := json.Unmarshal(answers.Bytes(), &got); err != nil || got != want {
					t.Fatalf("got %s, want %+v", answers.Bytes(), want)
				}
			}
			read(bulkLine{Key: name, Status: 201})
			for n := 1; n <= 3; n++ {
				fmt.Fprintf(to, "{\"op\":\"put\",\"key\":%q,\"value\":%d}\n{\"op\":\"get\",\"key\":%q}\n", name, n, name)
				read(bulkLine{Key: name, Status: 200})
				read(bulkLine{Key: name, Status: 200, Value: float64(n)})
			}
			// Then many at once, whose answers wait.
			const many = 5000
			value := strings.Repeat("x", 1000)
			for n := range many {
				fmt.Fprintf(to, "{\"key\":\"%s %d\",\"value\":%q}\n", name, n, value)
			}
			to.Close()
			for n := range many {
				read(bulkLine{Key: fmt.Sprintf("%s %d", name, n), Status: 201})
			}
			if answers.Scan() || answers.Err() != nil {
				t.Errorf("at the end comes %q, %v", answers.Text(), answers.Err())
			}
		})
	}
}

// TestBulkRequestsOfCurl sends a file, and what another program prints.
func TestBulkRequestsOfCurl(t *testing.T) {
	s := start(t, "redis_proxy")
	var lines strings.Builder
	for n := range 3000 {
		fmt.Fprintf(&lines, "{\"key\":\"%d\",\"value\":%q}\n", n, strings.Repeat("x", 1000))
	}
	for name, args := range map[string][]string{
		// The file is larger than 1 MiB, so curl expects 100 Continue.
		"--data-binary": {"--data-binary", "@-"},
		"-T":            {"-T", "-", "-X", "POST"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-sS", "-i", "-H", "Content-Type: application/x-ndjson", "http://" + s.http + "/cache"}, args...)
			curl := exec.Command("curl", args...)
			curl.Stdin = strings.NewReader(strings.ReplaceAll(lines.String(), `"key":"`, `"key":"`+name))
			out, err := curl.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if n := strings.Count(string(out), `"status":201`); n != 3000 || !strings.Contains(string(out), "HTTP/1.1 200 OK\r\n") {
				t.Errorf("%d entries were created: %.500s", n, out)
			}
		})
	}
}

func TestTheAccessLogHasTheNumberOfLines(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	s := start(t, "log {\noutput file "+log+"\n}\nredis_proxy {\nplaceholders\n}")
	do(t, s.plain, request{"POST", "http://" + s.http + "/cache", "{\"key\":\"a\",\"value\":1}\nx\n{\"op\":\"get\",\"key\":\"a\"}\n", []string{"Content-Type", "application/x-ndjson"}})
	eventually(t, "the log has them", func() bool {
		lines, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(lines), `"redis_proxy":{"status":"streamed","lines":3,"failed_lines":1}`)
	})
}
