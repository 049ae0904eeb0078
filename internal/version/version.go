// Package version tells which version of this module a Caddy has, and the versions of the
// formats that decide which nodes and files fit it.
package version

import (
	_ "embed"
	"fmt"
	"runtime"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

//go:embed VERSION
var number string

// commit is set by the linker, in the Makefile and in xcaddy.Dockerfile. Go itself does not
// record it: xcaddy builds a temporary main module, which is in no repository.
var commit string

// Build is the version of a build.
type Build struct {
	Version string `json:"version"`
	// Commit is that of the checkout, and ends in -dirty if files differed from it. It is
	// empty if the build was not told.
	Commit string `json:"commit"`
	Layout int    `json:"layout"`
	Events int    `json:"events"`
	Export int    `json:"export_format"`
	Caddy  string `json:"caddy"`
	Go     string `json:"go"`
}

// This returns the version of this build.
func This() Build {
	caddyVersion, _ := caddy.Version()
	return Build{
		Version: strings.TrimSpace(number),
		Commit:  commit,
		Layout:  redisstore.LayoutVersion,
		Events:  redisstore.EventVersion,
		Export:  dump.Version,
		Caddy:   caddyVersion,
		Go:      runtime.Version(),
	}
}

// String returns the version as one line.
func (b Build) String() string {
	name := "caddy-redis-proxy " + b.Version
	if b.Commit != "" {
		name += " (" + b.Commit + ")"
	}
	return fmt.Sprintf("%s, layout %d, events %d, export format %d, Caddy %s, %s", name, b.Layout, b.Events, b.Export, b.Caddy, b.Go)
}
