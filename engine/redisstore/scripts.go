package redisstore

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

//go:embed *.lua policy/*.lua
var luaFiles embed.FS

var recordScript = redis.NewScript(luaFile("record.lua"))

var fetchScript, applyScript, browseScript, probeScript = newScripts(store.Policies, fragment)

// newScripts puts the scripts together. fragment returns the Lua code of a policy.
func newScripts(policies []store.Policy, fragment func(policy string) string) (fetch, apply, browse, probe *redis.Script) {
	script := func(parts ...string) *redis.Script {
		return redis.NewScript(prelude(policies) + withConstants(strings.Join(parts, "")))
	}
	entry, meta := luaFile("entry.lua"), luaFile("meta.lua")
	order := luaFile("convert.lua") + luaFile("order.lua")
	fetch = script(entry, begin(policies, func(policy string) string {
		if _, err := fs.Stat(luaFiles, "policy/"+policy+"_fetch.lua"); err == nil {
			return fragment(policy + "_fetch")
		}
		return fragment(policy)
	}), luaFile("fetch.lua"))
	apply = script(entry, meta, begin(policies, fragment), luaFile("apply.lua"), luaFile("handover.lua"),
		luaFile("room.lua"), luaFile("repair.lua"), luaFile("writes.lua"), luaFile("commit.lua"))
	browse = script(entry, meta, order, luaFile("browse.lua"))
	probe = script(entry, luaFile("probe.lua"))
	return fetch, apply, browse, probe
}

// fragment returns the Lua code of one of our policies. If its code for fetches is another
// one, that is in a file whose name ends in _fetch.
func fragment(policy string) string { return luaFile("policy/" + policy + ".lua") }

var includeLine = regexp.MustCompile(`(?m)^ *-- include (\S+)$`)

func luaFile(name string) string {
	text, err := luaFiles.ReadFile(name)
	if err != nil {
		panic(err) // a policy without its file, or a name that is wrong above
	}
	return includeLine.ReplaceAllStringFunc(string(text), func(line string) string {
		return luaFile(includeLine.FindStringSubmatch(line)[1])
	})
}

// prelude returns the Lua code that describes the policies by name. It makes the table of
// a policy only when a script asks for it: each call of a script runs this code anew.
func prelude(policies []store.Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "local DEFAULT_POLICY = '%s'\nlocal function policy_named(name)\n", policies[0].Name)
	for _, p := range policies {
		fmt.Fprintf(&b, "  if name == '%s' then return { name = name, scale = %d, window = %t } end\n", p.Name, p.Scale, p.Window)
	}
	b.WriteString("end\n")
	return b.String()
}

// begin returns the Lua function that opens the policy of an order. Only the fragment of
// this policy runs.
func begin(policies []store.Policy, fragment func(policy string) string) string {
	var b strings.Builder
	b.WriteString("local function begin(order)\n")
	for _, p := range policies {
		fmt.Fprintf(&b, "if order.policy.name == '%s' then\n%send\n", p.Name, fragment(p.Name))
	}
	b.WriteString("end\n")
	return b.String()
}

var constantName = regexp.MustCompile(`\bstore\.\w+|\blayout\.[A-Z]\w+`)

// withConstants replaces the names of store.Constants and layoutConstants by their
// values. A local variable in Lua would cost as much as an allocation in each function
// that captures it.
func withConstants(lua string) string {
	return constantName.ReplaceAllStringFunc(lua, func(name string) string {
		if constant, ok := layoutConstants[strings.TrimPrefix(name, "layout.")]; ok {
			return constant
		}
		number, ok := store.Constants[strings.TrimPrefix(name, "store.")]
		if !ok {
			panic("no constant " + name)
		}
		return strconv.FormatFloat(number, 'f', -1, 64)
	})
}
