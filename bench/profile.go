package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// profileSeconds is the length of a profile.
const profileSeconds = 5

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// profile loads the sides once more, if profiles are wanted, and writes profiles of CPU time
// and allocations from Caddy's admin endpoint.
func (b *bench) profile(ctx context.Context, sv *servers, sides []*side) error {
	if b.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	for _, s := range sides {
		name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s.name), "-"), "-")
		progress("profile: %s", s.name)
		taken := make(chan error, 2)
		for _, kind := range []string{"profile", "allocs"} {
			file := filepath.Join(b.profiles, name+"."+kind)
			go func() { taken <- fetchProfile(ctx, sv.admin, kind, file) }()
		}
		if _, err := b.round(ctx, sv, s, (profileSeconds+1)*time.Second); err != nil {
			return err
		}
		if err := errors.Join(<-taken, <-taken); err != nil {
			return err
		}
	}
	return nil
}

func fetchProfile(ctx context.Context, admin int, kind, file string) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/%s?seconds=%d", admin, kind, profileSeconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	profile, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, profile)
	}
	return os.WriteFile(file, profile, 0o644)
}
