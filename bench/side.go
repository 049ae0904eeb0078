package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// localHit is in the Cache-Status of an answer of the local tier.
const localHit = "; hit"

// side is a load on a site, measured beside another one.
type side struct {
	name   string
	site   string // see config.go
	script string // in lua/
	// connections is the number of connections that the load keeps busy.
	connections int

	// For get.lua: it reads so many keys in turn, beginning with the number first. Each
	// answer has body.
	keys, first int
	body        string
	// status must be in the Cache-Status of an answer. It shows that the right tier
	// answers.
	status string

	// full is the number of keys in the namespace of the site before and after the load.
	// If it stays, each POST evicted a key. 0: not checked.
	full int

	// peer says that another program answers, not this module.
	peer bool
	// form is the form of requests, if it is not this module's.
	form *form
	// sent is the body of writes, if it is not postBody.
	sent string

	// lines is the number of operations in a request of bulk.lua.
	lines int

	// posts is the number of POSTs of new keys a second beside the load.
	posts int
}

// requests returns the form of requests.
func (s *side) requests() form {
	if s.form != nil {
		return *s.form
	}
	return ourForm
}

// warm reads the keys of a side of local hits into the local tier.
func (s *side) warm(ctx context.Context, sv *servers) error {
	if s.status != localHit {
		return nil
	}
	for n := range s.keys {
		if _, _, err := ask(ctx, sv.url(s.site)+s.requests().path(s.first+n)); err != nil {
			return err
		}
	}
	return nil
}

// check sends one request, and returns an error if the answer is not as expected.
func (s *side) check(ctx context.Context, sv *servers) error {
	if s.full > 0 {
		held, err := sv.held(ctx, s.site)
		if err == nil && held != s.full {
			err = fmt.Errorf("the namespace holds %d keys, not %d: POSTs do not evict", held, s.full)
		}
		if err != nil {
			return err
		}
	}
	if s.lines > 0 {
		return checkBulk(ctx, sv, s)
	}
	if s.body == "" {
		return nil
	}
	url := sv.url(s.site) + s.requests().path(s.first)
	status, body, err := ask(ctx, url)
	if err != nil {
		return err
	}
	if !strings.Contains(status, s.status) {
		return fmt.Errorf("%s: Cache-Status is %q", url, status)
	}
	if body != s.body {
		return fmt.Errorf("%s: an answer of %d bytes that is not the body expected", url, len(body))
	}
	return nil
}

// client accepts the certificate that the bench has made.
var client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// ask sends a GET, and returns the Cache-Status and the body of the answer.
func ask(ctx context.Context, url string) (status, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, b)
	}
	return resp.Header.Get("Cache-Status"), string(b), err
}
