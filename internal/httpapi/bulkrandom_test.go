package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// bulkModel says what single requests would answer, one after another.
type bulkModel struct {
	values map[string]int
	evicts bool // a key may be gone at any time
}

// line writes a random line for keys with a prefix, and returns a function that checks its
// answer, in the order of the lines.
func (m *bulkModel) line(r *rand.Rand, prefix string) (text string, check func(a bulkAnswer) error) {
	key, value := fmt.Sprint(prefix, r.IntN(6)), r.IntN(4)
	op := []string{"create", "put", "delete", "get", "get"}[r.IntN(5)]
	condition := ""
	if op == "put" || op == "delete" {
		condition = []string{"", "", "if_match", "if_none_match"}[r.IntN(4)]
	}
	text = fmt.Sprintf(`{"op":%q,"key":%q`, op, key)
	if op == "create" || op == "put" {
		text += fmt.Sprintf(`,"value":%d`, value)
	}
	if condition != "" {
		text += fmt.Sprintf(`,%q:"*"`, condition)
	}
	return text + "}\n", func(a bulkAnswer) error {
		old, isThere := m.values[key]
		if m.evicts && isThere && a.tellsAbsence(op, condition) {
			delete(m.values, key)
			isThere = false
		}
		want := bulkAnswer{Key: key}
		switch {
		case op == "create" && isThere:
			want.Status, want.SameValue = 409, old == value
		case op == "delete" && !isThere, op == "get" && !isThere:
			want.Status = 404
		case condition == "if_match" && !isThere, condition == "if_none_match" && isThere:
			want.Status = 412
		case op == "delete":
			want.Status = 204
			delete(m.values, key)
		case op == "get":
			want.Status, want.Value = 200, &old
		default:
			want.Status = 201
			if isThere {
				want.Status = 200
			}
			m.values[key] = value
		}
		return a.differsFrom(want)
	}
}

type bulkAnswer struct {
	Line      int
	Key       string
	Status    int
	Value     *int
	SameValue bool `json:"same_value"`
}

// tellsAbsence reports whether an answer can only be given if the key is absent.
func (a bulkAnswer) tellsAbsence(op, condition string) bool {
	return a.Status == 404 || a.Status == 201 || op == "put" && condition == "if_match" && a.Status == 412
}

func (a bulkAnswer) differsFrom(want bulkAnswer) error {
	a.Line = 0
	got, _ := json.Marshal(a)
	if wanted, _ := json.Marshal(want); string(got) != string(wanted) {
		return fmt.Errorf("got %s, want %s", got, wanted)
	}
	return nil
}

// TestRandomBulkRequestsAnswerAsSingleRequestsDo sends several bulk requests at once, each
// with keys of its own.
func TestRandomBulkRequestsAnswerAsSingleRequestsDo(t *testing.T) {
	const lines, clients = 2000, 3
	redis := redistest.Start(t)
	for _, policy := range store.Policies {
		for _, on := range []string{"embedded", redis.URL()} {
			for _, maxKeys := range []int{1000, 7} {
				where, _, _ := strings.Cut(on, ":")
				t.Run(fmt.Sprintf("%s, %s, max_keys %d", policy.Name, where, maxKeys), func(t *testing.T) {
					seed := rand.Uint64()
					t.Logf("seed %d", seed)
					s := sitetest.New(t, fmt.Sprintf("store %s\neviction %s\nmax_keys %d\nmethods GET POST PUT DELETE", on, policy.Name, maxKeys))
					var running sync.WaitGroup
					for n := range clients {
						running.Go(func() {
							r := rand.New(rand.NewPCG(seed, uint64(n)))
							m := bulkModel{values: make(map[string]int), evicts: maxKeys < 1000}
							m.run(t, s, r, fmt.Sprint("client", n, "-"), 1+n%2, lines)
						})
					}
					running.Wait()
				})
			}
		}
	}
}

// run sends lines in pieces of random sizes, and reads at random times.
func (m *bulkModel) run(t *testing.T, s *sitetest.Site, r *rand.Rand, prefix string, version, lines int) {
	b := openBulk(t, s, version)
	checks := make(chan func(bulkAnswer) error, lines)
	var body strings.Builder
	for range lines {
		text, check := m.line(r, prefix)
		body.WriteString(text)
		checks <- check
	}
	close(checks)
	go func() {
		pieces := rand.New(rand.NewPCG(uint64(lines), uint64(body.Len())))
		for rest := body.String(); rest != ""; {
			n := min(len(rest), 1+pieces.IntN(20_000))
			if _, err := io.WriteString(b.body, rest[:n]); err != nil {
				return // the answers tell
			}
			rest = rest[n:]
		}
		b.body.Close()
	}()
	n := 0
	for check := range checks {
		n++
		text := b.answer()
		var a bulkAnswer
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Errorf("answer %d is %q: %v", n, text, err)
			return
		}
		if a.Line != 0 && a.Line != n {
			t.Errorf("answer %d is for line %d", n, a.Line)
		}
		if err := check(a); err != nil {
			t.Errorf("line %d: %v", n, err)
			return
		}
	}
	if rest := b.answer(); rest != "" {
		t.Errorf("at the end comes %s", rest)
	}
}
