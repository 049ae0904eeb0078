package binary

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// TestAStopEndsBulkRequests: the grace period of Caddy has no end by default, and the client
// would go on for ever.
func TestAStopEndsBulkRequests(t *testing.T) {
	c := startCaddy(t, redistest.Start(t), "", "")
	body, to := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.addr+"/cache", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	go fmt.Fprintln(to, `{"key":"a","value":1}`)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	if !answers.Scan() || !strings.Contains(answers.Text(), `"status":201`) {
		t.Fatalf("got %q, %v", answers.Text(), answers.Err())
	}
	c.proc.Signal(syscall.SIGTERM)
	const want = `{"line":2,"status":503,"detail":"this configuration is closing down, nothing was changed; repeat the request; this line and those behind it were not carried out","ended":true}`
	if !answers.Scan() || answers.Text() != want {
		t.Errorf("got %q, %v", answers.Text(), answers.Err())
	}
	c.awaitEnd()
	to.Close()
	if code := c.proc.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}
}
