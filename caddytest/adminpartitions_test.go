package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestAdminOfSeveralPartitions(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no")
	s := startAdmin(t, "redis_proxy {\nstore "+cluster.URL()+"\npartitions 3\nlocal_ttl 0s\nmethods GET POST DELETE\nredis_timeout 5s\n}")
	at := "http://" + s.http + "/cache/"
	var want []string
	for i := range 60 {
		key := fmt.Sprintf("%s/%02d", []string{"fruit", "veg"}[i%2], i)
		postJSON(t, s.plain, at+key, "1").expectStatus(t, http.StatusCreated)
		want = append(want, key)
	}
	slices.Sort(want)
	get(t, s.plain, at+"veg/07").expectStatus(t, http.StatusOK)
	cache := s.cache()

	// Every key is on one page, in the order of ranks.
	for _, order := range []string{"next", "valued"} {
		var keys []string
		var ranks []float64
		for cursor := ""; ; {
			page := s.ask(http.StatusOK, "GET", cache+"/keys?limit=7&order="+order+"&cursor="+url.QueryEscape(cursor))
			for _, k := range page.Keys {
				keys, ranks = append(keys, k.Key), append(ranks, k.Rank)
			}
			if cursor = page.Cursor; cursor == "" {
				break
			}
		}
		if order == "valued" {
			slices.Reverse(ranks)
		}
		if slices.Sort(keys); !slices.Equal(keys, want) || !slices.IsSorted(ranks) || ranks[59] != 1 {
			t.Errorf("%s: %v with %v", order, keys, ranks)
		}
	}
	if got := s.ask(http.StatusOK, "GET", cache+"/keys/veg/07"); got.Rank != 1 || string(got.Value) != "1" {
		t.Errorf("%+v", got)
	}
	s.ask(http.StatusNotFound, "GET", cache+"/keys/none")

	c := s.ask(http.StatusOK, "GET", "caches").Caches[0]
	sum, most := int64(0), 0
	for i, p := range c.Partitions {
		if p.Partition != i || !p.Ready || !p.Writes || p.Error != "" || p.Cause != "" || !p.Subscribed || p.Keys == nil || *p.Keys == 0 || p.Bytes == nil {
			t.Fatalf("%+v", p)
		}
		sum += *p.Keys
		most += p.MaxKeys
	}
	if len(c.Partitions) != 3 || sum != 60 || *c.State.Keys != 60 || most != 10000 || c.State.MaxKeys != 10000 || c.Settings["partitions"] != 3.0 {
		t.Errorf("%+v", c)
	}
	if c.Subscription.Count != 1 || len(c.Subscription.Nodes) != 1 || !c.Subscription.Nodes[0].This || c.State.Breaker != "closed" {
		t.Errorf("%+v", c.Subscription)
	}

	asDescribed := &http.Client{Transport: newDescribed(t, s), Timeout: patience}
	get(t, asDescribed, "http://"+s.admin+"/redis_proxy/caches").expectStatus(t, http.StatusOK)

	if got := s.ask(http.StatusOK, "DELETE", cache+"/keys?prefix=fruit/"); got.Deleted != 30 {
		t.Errorf("%d keys were deleted", got.Deleted)
	}
	get(t, s.plain, at+"fruit/00").expectStatus(t, http.StatusNotFound)
	get(t, s.plain, at+"veg/01").expectStatus(t, http.StatusOK)
	if got := s.ask(http.StatusOK, "DELETE", cache+"/keys?confirm=cache"); got.Deleted != 30 {
		t.Errorf("%d keys were deleted", got.Deleted)
	}
	if got := s.ask(http.StatusOK, "GET", "caches").Caches[0]; *got.State.Keys != 0 {
		t.Errorf("%d keys are left", *got.State.Keys)
	}

	if got := s.ask(http.StatusOK, "GET", "ready"); !got.Ready || !got.Writes {
		t.Errorf("%+v", got)
	}
	// Primary and replica of a partition end, and the others go on.
	cluster.Nodes[1].Kill()
	cluster.Nodes[4].Kill()
	got := s.ask(http.StatusServiceUnavailable, "GET", "ready")
	if got.Ready || len(got.Caches) != 1 || !strings.HasPrefix(got.Caches[0].Error, "partition 1: ") {
		t.Errorf("%+v", got)
	}
	c = s.ask(http.StatusOK, "GET", "caches").Caches[0]
	for i, p := range c.Partitions {
		if isUp := i != 1; p.Ready != isUp || p.Writes != isUp || (p.Error == "") != isUp || (p.Keys != nil) != isUp {
			t.Errorf("%+v", p)
		}
	}
	get(t, asDescribed, "http://"+s.admin+"/redis_proxy/caches").expectStatus(t, http.StatusOK)
	for name, want := range map[string]string{"0": "1", "1": "0", "2": "1"} {
		eventually(t, "a scrape shows partition "+name, func() bool {
			for line, value := range s.scrape() {
				if strings.HasPrefix(line, "partition_up{") && strings.Contains(line, `partition="`+name+`"`) {
					return value == want
				}
			}
			return false
		})
	}
	answers := make(map[int]int)
	for i := range 30 {
		answers[get(t, s.plain, fmt.Sprint(at, "k", i)).StatusCode]++
	}
	if answers[http.StatusNotFound] == 0 || answers[http.StatusServiceUnavailable] == 0 || len(answers) != 2 {
		t.Errorf("with one of three partitions down, the answers are %v", answers)
	}
}
