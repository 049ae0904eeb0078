package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withRedis runs tools/with-redis.sh on the server at path.
func withRedis(path string, command ...string) (string, error) {
	cmd := exec.Command("sh", append([]string{"../../../tools/with-redis.sh"}, command...)...)
	cmd.Env = append(os.Environ(), "REDIS_SERVER="+path)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// program writes a program that says what it is.
func program(t *testing.T, says string) string {
	path := filepath.Join(t.TempDir(), "server-9")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTestsRunOnTheServerThatIsChosen(t *testing.T) {
	for says, name := range map[string]string{
		"Redis server v=9.1.2 sha=0:0 bits=64":    "Redis 9.1.2",
		"Valkey server v=9.0.1-rc1 sha=0 bits=64": "Valkey 9.0.1-rc1",
	} {
		path := program(t, says)
		if out, err := withRedis(path, "redis-server", "--version"); err != nil || out != says+"\n" {
			t.Errorf("a command meets %q, %v", out, err)
		}
		if out, err := withRedis(path); err != nil || !strings.Contains(out, name+", "+path) {
			t.Errorf("it says %q, %v; want %s and %s", out, err, name, path)
		}
	}
	if out, err := withRedis("", "redis-server", "--version"); err != nil || strings.Contains(out, "v=9") {
		t.Errorf("without a choice a command meets %q, %v", out, err)
	}
}

func TestAChoiceThatIsNoRedisIsAnErrorBeforeAnythingRuns(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "redis-server"), program(t, "cat 9.1")} {
		out, err := withRedis(path, "echo", "it runs")
		if err == nil || strings.Contains(out, "it runs") || !strings.Contains(out, "REDIS_SERVER: ") || !strings.Contains(out, path) {
			t.Errorf("%s: %q, %v", path, out, err)
		}
	}
}
