package command_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	_ "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// patience bounds how long a test waits for an event, on a busy machine too.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(runCaddy) != "" {
		caddycmd.Main()
		return
	}
	goleak.VerifyTestMain(m)
}

// runCaddy makes this test binary a Caddy.
const runCaddy = "RUN_CADDY"

// unreachable is REDIS_URL for commands.
const unreachable = "redis://user:secret@127.0.0.1:1"

// command prepares `caddy redis-proxy …` in a process of its own.
func command(t testing.TB, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{"redis-proxy"}, args...)...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// Built with the race detector it would sleep for a second before it ends.
	cmd.Env = append(os.Environ(), runCaddy+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0", "REDIS_URL="+unreachable)
	cmd.Dir = t.TempDir() // no Caddyfile there
	return cmd, stdout, stderr
}

// runCommand runs `caddy redis-proxy …` to its end.
func runCommand(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, out, errs := command(t, args...)
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// succeed runs a command that must exit with 0.
func succeed(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := runCommand(t, args...)
	if code != 0 {
		t.Fatalf("%v exited with %d:\n%s", args, code, stderr)
	}
	return stdout, stderr
}

// namespace is a namespace in Redis whose entries a test reads.
type namespace struct {
	*redisstore.Store
	t testing.TB
}

func openNamespace(t testing.TB, server *redistest.Server, name string) namespace {
	t.Helper()
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: name, Logger: zap.NewNop()})
	t.Cleanup(func() { _ = st.Close() })
	return namespace{st, t}
}

func (n namespace) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(n.t.Context(), patience)
}

func (n namespace) size() store.Size {
	n.t.Helper()
	ctx, cancel := n.within()
	defer cancel()
	size, err := n.Size(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	return size
}

func (n namespace) apply(limits store.Limits, writes ...store.Write) {
	n.t.Helper()
	for part := range slices.Chunk(writes, store.MaxBatch) {
		ctx, cancel := n.within()
		defer cancel()
		if _, err := n.Apply(ctx, store.Batch{Writes: part, Limits: limits}); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n namespace) fetch(keys ...string) {
	n.t.Helper()
	for _, key := range keys {
		ctx, cancel := n.within()
		defer cancel()
		if _, err := n.Fetch(ctx, []string{key}, store.AnyRoom); err != nil {
			n.t.Fatal(err)
		}
	}
}

// entries shows all entries in eviction order.
func (n namespace) entries() []string {
	n.t.Helper()
	var shown []string
	for after := store.Cursor(""); ; {
		ctx, cancel := n.within()
		defer cancel()
		page, err := n.Page(ctx, after, store.MaxBatch, store.Next)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, l := range page.Entries {
			e, err := n.Look(ctx, l.Key)
			if err != nil || e == nil {
				n.t.Fatalf("looking at %q: %v", l.Key, err)
			}
			shown = append(shown, fmt.Sprintf("%s %v %c %q %q", l.Key, l.Rank, e.Entry.Kind, e.Entry.ContentType, e.Entry.Data))
		}
		if after = page.Next; after == "" {
			return shown
		}
	}
}

func createOf(key, data string, kind store.Kind, contentType string) store.Write {
	return store.Write{Op: store.Create, Key: key, Value: store.Value{Data: []byte(data), Kind: kind, ContentType: contentType}}
}

var hundred = store.Limits{MaxKeys: 100, Eviction: "rank"}
