package admin

import "net/http"

func serveLive(w http.ResponseWriter, _ *http.Request, _ target) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

// serveReady tries every store. If one fails, it answers 503 but returns no error, because
// Caddy would log an error for each health check. A store that takes no writes is ready too:
// otherwise a full store would take every node out of service, although all can still read.
func serveReady(w http.ResponseWriter, r *http.Request, _ target) error {
	ready := readyView{Ready: true, Writes: true, Caches: eachCache(func(c cache) cacheReadyView {
		return viewReady(c.running.ID(), c.running.Engine.Probe(r.Context()))
	})}
	status := http.StatusOK
	for _, c := range ready.Caches {
		ready.Writes = ready.Writes && c.Writes
		if !c.Ready {
			ready.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return writeJSON(w, status, ready)
}
