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

// The page requests everything by paths relative to its own address. So it works below any
// path.
//
//go:embed dashboard
var embedded embed.FS

// dashboardPolicy lets the page load its own files and send requests to its own server, and
// nothing else: the keys and values that it shows may come from anyone.
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
	// The MIME table of the host may have other types. Because of nosniff, a browser ignores
	// a file with a wrong type.
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
	// Caddy's admin endpoint checks the origin of requests. A GET of the same origin has no
	// Origin header, so the endpoint reads Referer, which no-referrer would remove.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache")
	header.Set("Etag", t.file.etag)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(t.file.content))
	return nil
}
