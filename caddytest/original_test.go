package integration

import (
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Clients of the Python original need no change: they use the same paths and bodies, and
// get the same bodies back. docs/original.md has these settings, and says what differs.
func TestClientsOfTheOriginal(t *testing.T) {
	for name, store := range map[string]string{"embedded": "embedded", "redis": redistest.Start(t).URL()} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "redis_proxy {\n store "+store+"\n path_prefix /\n respond_with representation\n}")
			at := "http://" + s.http + "/"
			asJSON := []string{"Content-Type", "application/json"}

			get(t, s.plain, at+"hello").expectStatus(t, 404)
			for key, value := range map[string]string{"hello": `"world"`, "answer": "42", "list": `[1,{"a":null}]`} {
				entry := `{"key":"` + key + `","value":` + value + `}`
				created := post(t, s.plain, at+key, `{"value": `+value+`}`, asJSON...)
				created.expect(t, 201, entry)
				created.expectHeader(t, "Content-Type", "application/json")
				get(t, s.plain, at+key).expect(t, 200, entry)
			}
			post(t, s.plain, at, `{"key": "named", "value": 1}`, asJSON...).expect(t, 201, `{"key":"named","value":1}`)

			// The original answered a second POST like the first one, and dropped its value.
			again := post(t, s.plain, at+"hello", `{"value": "other"}`, asJSON...)
			again.expectStatus(t, 409)
			again.expectHeader(t, "Content-Type", "application/problem+json")
			get(t, s.plain, at+"hello").expect(t, 200, `{"key":"hello","value":"world"}`)
			get(t, s.plain, at+"nothing").expectStatus(t, 404)
		})
	}
}
