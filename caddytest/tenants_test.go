package integration

import (
	"net/http"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestTenantsOfOneNamespace(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, `
map {header.X-Tenant} {tenant} {
	~(?i)^a$ a
	~(?i)^b$ b
}
redis_proxy {
	store `+redis.URL()+`
	key_prefix {tenant}/
}`)
	at := "http://" + s.http + "/cache"
	for tenant, value := range map[string]string{"a": `"of a"`, "b": `"of b"`} {
		post(t, s.plain, at, `{"key": "k", "value": `+value+`}`, "Content-Type", "application/json", "X-Tenant", tenant).expect(t, http.StatusCreated, "")
	}
	for tenant, value := range map[string]string{"A": `"of a"`, "b": `"of b"`} {
		a := get(t, s.plain, at+"/k", "X-Tenant", tenant)
		a.expect(t, http.StatusOK, `{"key":"k","value":`+value+`}`)
		head := do(t, s.plain, request{"HEAD", at + "/k", "", []string{"X-Tenant", tenant}})
		if head.ContentLength != int64(len(a.body)) {
			t.Errorf("HEAD says %d bytes, GET has %d", head.ContentLength, len(a.body))
		}
	}
	get(t, s.plain, at+"/k", "X-Tenant", "c").expectStatus(t, http.StatusBadRequest)
	get(t, s.plain, at+"/k").expectStatus(t, http.StatusBadRequest)
	if got, err := redis.Client().HKeys(t.Context(), "{cache}:values").Result(); err != nil || len(got) != 2 || got[0]+got[1] != "a/kb/k" && got[0]+got[1] != "b/ka/k" {
		t.Errorf("Redis has %v, %v", got, err)
	}
}
