package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// The page asks for everything relative to its own address, so that it works
// below any path.
//
//go:embed dashboard
var embedded embed.FS

// dashboardPolicy lets the page load its own files and ask its own server, and
// nothing else: keys and values come from anyone.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// dashboardFile is a file of the page as it is served.
type dashboardFile struct {
	contentType string
	etag        string
	content     string
}

// dashboardFiles holds the page's files by the name that follows the base; "" is the
// page itself.
var dashboardFiles = readDashboard()

func readDashboard() map[string]dashboardFile {
	// What the host's MIME table says may be anything, and with nosniff a wrong
	// type stops the page.
	types := map[string]string{
		".html": "text/html; charset=utf-8",
		".css":  "text/css; charset=utf-8",
		".js":   "text/javascript; charset=utf-8",
	}
	files := make(map[string]dashboardFile)
	entries, _ := fs.ReadDir(embedded, "dashboard")
	for _, entry := range entries {
		content, _ := embedded.ReadFile("dashboard/" + entry.Name())
		sum := sha256.Sum256(content)
		name := entry.Name()
		if name == "index.html" {
			name = ""
		}
		files[name] = dashboardFile{
			contentType: types[path.Ext(entry.Name())],
			etag:        `"` + hex.EncodeToString(sum[:8]) + `"`,
			content:     string(content),
		}
	}
	return files
}

func serveFile(w http.ResponseWriter, r *http.Request, t target) error {
	header := w.Header()
	header.Set("Content-Type", t.file.contentType)
	header.Set("Content-Security-Policy", dashboardPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: Caddy's admin endpoint asks browsers where a request
	// comes from, and a GET of one's own origin has no Origin header.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache")
	header.Set("Etag", t.file.etag)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(t.file.content))
	return nil
}
