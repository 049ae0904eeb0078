package redisstore

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

//go:embed *.lua policy/*.lua
var luaFiles embed.FS

var fetchScript, applyScript, browseScript, probeScript = newScripts(store.Policies, fragment)

// newScripts puts the scripts together, with the part in Lua of each policy.
func newScripts(policies []store.Policy, fragment func(policy string) string) (fetch, apply, browse, probe *redis.Script) {
	head := prelude(policies)
	var begins strings.Builder
	for _, p := range policies {
		begins.WriteString(fragment(p.Name))
	}
	script := func(parts ...string) *redis.Script {
		return redis.NewScript(head + withConstants(strings.Join(parts, "")))
	}
	entry, convert := luaFile("entry.lua"), luaFile("convert.lua")
	fetch = script(entry, convert, begins.String(), luaFile("fetch.lua"))
	apply = script(entry, convert, luaFile("handover.lua"), begins.String(), luaFile("repair.lua"), luaFile("apply.lua"))
	browse = script(entry, convert, luaFile("browse.lua"))
	probe = script(entry, luaFile("probe.lua"))
	return fetch, apply, browse, probe
}

// fragment is the part in Lua of one of our policies.
func fragment(policy string) string { return luaFile("policy/" + policy + ".lua") }

func luaFile(name string) string {
	text, err := luaFiles.ReadFile(name)
	if err != nil {
		panic(err) // a policy without its file, or a name that is wrong above
	}
	return string(text)
}

// prelude has what Lua knows of the policies without their fragments. The tables
// have room for begin, which a fragment sets: they are made with every call.
func prelude(policies []store.Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "local DEFAULT_POLICY = '%s'\nlocal policies = {\n", policies[0].Name)
	for _, p := range policies {
		fmt.Fprintf(&b, "  %s = { scale = %d, window = %t, begin = false },\n", p.Name, p.Scale, p.Window)
	}
	b.WriteString("}\n")
	return b.String()
}

var constantName = regexp.MustCompile(`\bstore\.\w+`)

// withConstants puts numbers in place of the names of store.Constants. A local
// variable of Lua would cost as much as an allocation in each function that has it.
func withConstants(lua string) string {
	return constantName.ReplaceAllStringFunc(lua, func(name string) string {
		number, ok := store.Constants[strings.TrimPrefix(name, "store.")]
		if !ok {
			panic("no constant " + name)
		}
		return strconv.FormatFloat(number, 'f', -1, 64)
	})
}
