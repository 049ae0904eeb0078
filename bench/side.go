package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// localHit is what Cache-Status says of an answer of the local tier.
const localHit = "; hit"

// side is one load on one site, measured beside another.
type side struct {
	name   string
	site   string // see config.go
	script string // in lua/
	// connections is how many the load keeps busy.
	connections int

	// For get.lua: it asks for so many keys in turn, from the one with the
	// number first on, and each answer is body.
	keys, first int
	body        string
	// status is what Cache-Status of an answer must contain, to show that the
	// tier answers which the side is about.
	status string

	// full is how many keys the namespace of the site holds before and after, to
	// show that each POST evicted one. 0: not looked at.
	full int

	// posts is how many POSTs a second of new keys run beside the load.
	posts int
}

// warm brings the keys of a side that is about local hits into the local tier.
func (s *side) warm(ctx context.Context, sv *servers) error {
	if s.status != localHit {
		return nil
	}
	for n := range s.keys {
		if _, _, err := ask(ctx, sv.url(s.site)+path(s.first+n)); err != nil {
			return err
		}
	}
	return nil
}

// check asks once, and reports whether the answer is what the side is about.
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
	if s.body == "" {
		return nil
	}
	url := sv.url(s.site) + path(s.first)
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

// ask sends a GET, and returns the Cache-Status and the body of the answer.
func ask(ctx context.Context, url string) (status, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := http.DefaultClient.Do(req)
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
