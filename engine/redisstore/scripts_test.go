package redisstore

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// AddFragment rebuilds the scripts for the present store.Policies, until the test ends.
// The given policy has lua as its fragment.
func AddFragment(t *testing.T, policy, lua string) {
	f, a, b, p := fetchScript, applyScript, browseScript, probeScript
	fetchScript, applyScript, browseScript, probeScript = newScripts(store.Policies, func(name string) string {
		if name == policy {
			return lua
		}
		return fragment(name)
	})
	t.Cleanup(func() { fetchScript, applyScript, browseScript, probeScript = f, a, b, p })
}

// TestLuaReadsAndConvertsScoresAsGoDoes switches from each policy to each other one.
func TestLuaReadsAndConvertsScoresAsGoDoes(t *testing.T) {
	before := store.Policies
	t.Cleanup(func() { store.Policies = before })
	store.Policies = nil
	for _, scale := range []store.Scale{store.Counts, store.Times, store.Worths} {
		for _, window := range []bool{false, true} {
			name := "toy" + string(rune('a'+len(store.Policies)))
			store.Policies = append(store.Policies, store.Policy{Name: name, Scale: scale, Window: window})
		}
	}
	f := newFixture(t)
	const held, clock = 100, 1000
	scores := []float64{-30.5, 1, 2.5, 900, 999.5, clock, clock + 1, clock + 7, 3000, 90_000, 1 << 20, store.Apart + 7, store.Apart + 500.5}
	var words []any
	for _, score := range scores {
		words = append(words, formatScore(score))
	}
	for _, from := range store.Policies {
		for _, via := range append([]store.Policy{{}}, store.Policies...) {
			for _, to := range store.Policies {
				s := store.State{Clock: clock, Window: 5}
				chain := []store.Policy{from, via, to}
				if via.Name == "" {
					chain = []store.Policy{from, to}
				}
				for i := range chain[1:] {
					s.Switch(chain[i], chain[i+1], held, 90_000, 1500)
				}
				var former []string
				for _, f := range s.Former {
					former = append(former, f.Policy)
					for _, n := range []float64{f.Clock, f.Base, f.Start, f.Half, f.Shift} {
						former = append(former, formatScore(n))
					}
				}
				script := prelude(store.Policies) + withConstants(luaFile("entry.lua")+luaFile("convert.lua")+luaFile("order.lua")) + fmt.Sprintf(`
local order = order_of(policy_named('%s'), %d, %s, 0)
order.conversion = conversion_of(%q)
local function unread(score)
  if order.conversion then return order.conversion.is_unread(order, score) end
  return is_unread(order.policy, order.clock, score)
end
local reply = {}
for i, score in ipairs(ARGV) do
  reply[i] = text_of(own(order, tonumber(score))) .. ' ' .. tostring(unread(tonumber(score)))
end
return reply`, to.Name, held, formatScore(s.Clock), strings.Join(former, " "))
				got, err := redis.NewScript(script).Eval(f.ctx(), f.redis, f.store.keys.scripts("w"), words...).StringSlice()
				if err != nil {
					t.Fatal(err)
				}
				for i, score := range scores {
					own, unread, _ := strings.Cut(got[i], " ")
					n, _ := strconv.ParseFloat(own, 64)
					if want := to.Own(&s, score); n != want || unread != strconv.FormatBool(to.Unread(&s, score)) {
						t.Errorf("%+v: %v became %s, %v in Go, unread %s", chain, score, own, want, unread)
					}
				}
			}
		}
	}
}

func TestEverySharedConstantIsUsedInLua(t *testing.T) {
	var all strings.Builder
	err := fs.WalkDir(luaFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all.WriteString(luaFile(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	used := constantName.FindAllString(all.String(), -1)
	for name := range store.Constants {
		if !slices.Contains(used, "store."+name) {
			t.Errorf("%s is not used", name)
		}
	}
}
