package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Numbers of keys in the namespaces. A key has 20 bytes.
const (
	hitKeys   = 1000    // read by local hits, of each kind and size
	localKeys = 10_000  // of the namespaces local and capacity: the default of max_keys
	fewKeys   = 1000    // of the namespace few
	storeKeys = 100_000 // of the namespace store
)

// The numbers of the first keys of each kind and size in the namespace local.
const (
	rawSmall  = 0
	jsonSmall = 2000
	rawLarge  = 4000
	jsonLarge = 6000
)

func key(n int) string { return fmt.Sprintf("key-%016d", n) }

var (
	smallValue = strings.Repeat("0123456789", 3)
	largeValue = strings.Repeat("0123456789abcdef", 640)
	postBody   = `{"value":"` + smallValue + `"}`
)

// raw returns a value that is answered as it is, as text.
func raw(data string) store.Value {
	return store.Value{Data: []byte(data), Kind: store.Raw, ContentType: "text/plain; charset=utf-8"}
}

// text returns a value that was sent as a JSON string, and is answered in JSON.
func text(data string) store.Value {
	return store.Value{Data: []byte(data), Kind: store.String}
}

// envelope returns the answer to a GET of a text.
func envelope(n int, data string) string {
	return `{"key":"` + key(n) + `","value":"` + data + `"}`
}

func rawValue(int) store.Value      { return raw(smallValue) }
func rawLargeValue(int) store.Value { return raw(largeValue) }
func textValue(int) store.Value     { return text(smallValue) }

// localValue returns the value of a key in the namespace local.
func localValue(n int) store.Value {
	switch {
	case n >= jsonLarge && n < jsonLarge+hitKeys:
		return text(largeValue)
	case n >= rawLarge && n < rawLarge+hitKeys:
		return raw(largeValue)
	case n >= jsonSmall && n < jsonSmall+hitKeys:
		return text(smallValue)
	}
	return raw(smallValue)
}

// sites returns the sites of Caddy. Each has a port of its own, and all look the same, so
// every request passes as many matchers. At each request, respond looks for placeholders in
// a body with braces, and checks a body that looks like JSON. Raw values cause neither, and
// are respond's best case.
func (b *bench) sites() []site {
	return []site{
		{name: "respond-raw-small", block: "respond `" + smallValue + "`"},
		{name: "respond-raw-large", block: "respond `" + largeValue + "`"},
		{name: "respond-json-small", block: "respond `" + envelope(jsonSmall, smallValue) + "`"},
		{name: "respond-json-large", block: "respond `" + envelope(jsonLarge, largeValue) + "`"},
		{name: "respond-post", block: "respond 201"},
		{name: "local", keys: localKeys, value: localValue, localTTL: "1h"},
		{name: "capacity", keys: localKeys, value: rawValue, localTTL: "30s"},
		{name: "store", keys: storeKeys, value: rawValue, localTTL: "0s"},
		{name: "few", keys: fewKeys, value: rawValue, localTTL: "0s"},
		{name: "many", keys: b.manyKeys, value: rawValue, localTTL: "0s"},
	}
}

// site is a site with a block, or with a cache whose namespace has the same name. The
// namespace is filled to its capacity.
type site struct {
	name     string
	block    string
	keys     int
	value    func(n int) store.Value
	localTTL string
	port     int

	// alias is the namespace, if it is another site's, which fills it.
	alias string
	// tls are the files of certificate and key. "": without TLS.
	tls string
	// peer answers the requests: behind Caddy if there is a block, else alone.
	peer *peer
}

// ofCaddy reports whether Caddy serves the site.
func (s *site) ofCaddy() bool { return s.peer == nil || s.block != "" }

// namespace returns the namespace of a site with a cache.
func (s *site) namespace() string { return cmp.Or(s.alias, s.name) }

// caddyfile writes the configuration.
func caddyfile(sites []site, admin int, redisURL string) string {
	var c strings.Builder
	fmt.Fprintf(&c, "{\n\tadmin 127.0.0.1:%d\n\tauto_https off\n\tpersist_config off\n\tlog {\n\t\tlevel WARN\n\t}\n}\n", admin)
	for _, s := range sites {
		block := s.block
		if block == "" {
			block = fmt.Sprintf("redis_proxy {\n\t\t\tstore %s\n\t\t\tnamespace %s\n\t\t\tmax_keys %d\n\t\t\tlocal_ttl %s\n\t\t}",
				redisURL, s.namespace(), s.keys, s.localTTL)
		}
		scheme, tls := "http", ""
		if s.tls != "" {
			scheme, tls = "https", "\ttls "+s.tls+"\n"
		}
		paths := "/cache*" // with the prefix itself, for bulk requests
		if s.peer != nil {
			paths = "" // a peer has paths of its own
		}
		fmt.Fprintf(&c, "%s://:%d {\n\tbind 127.0.0.1\n%s\thandle %s {\n\t\t%s\n\t}\n}\n", scheme, s.port, tls, paths, block)
	}
	return c.String()
}
