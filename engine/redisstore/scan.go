package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// scanCursor is a cursor of Scan.
//
// Each server process keeps its keys in an order of its own. So a cursor of HSCAN leads past
// some keys if another process gets it: after a failover, a move of the slot, or a restart.
// A cursor therefore names the process.
type scanCursor struct {
	process string // the first digits of its run_id
	place   string // the cursor of HSCAN
	// A smallest step of HSCAN may have more keys than one Scan returns: one bucket of a
	// hash table, or a whole small hash. The rest of it is then behind a key in the order of
	// keys, if the step still ends at the same place. Otherwise the hash has changed so much
	// that the step may have other keys, and all of it is returned.
	end    string
	behind string
}

// processDigits is how many digits of a run_id tell processes apart.
const processDigits = 16

func parseScanCursor(text string) (scanCursor, error) {
	if text == "" {
		return scanCursor{place: "0"}, nil
	}
	parts := strings.SplitN(text, ".", 4)
	c := scanCursor{process: parts[0]}
	if len(parts) == 3 {
		return c, store.ErrCursor
	}
	for i, place := range parts[1:min(len(parts), 3)] {
		if _, err := strconv.ParseUint(place, 10, 64); err != nil {
			return c, store.ErrCursor
		}
		if i == 0 {
			c.place = place
		} else {
			c.end, c.behind = place, parts[3]
		}
	}
	if c.process == "" || c.place == "" {
		return c, store.ErrCursor
	}
	return c, nil
}

func (c *scanCursor) String() string {
	text := c.process + "." + c.place
	if c.end != "" {
		text += "." + c.end + "." + c.behind
	}
	return text
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, prefix, after string, n int) (keys []string, next string, err error) {
	if n < 1 || n > store.MaxBatch {
		return nil, "", fmt.Errorf("%w: %d at once, where %d is the most", store.ErrUnavailable, n, store.MaxBatch)
	}
	c, err := parseScanCursor(after)
	if err != nil {
		return nil, "", err
	}
	smallest := 0
	if c.end != "" {
		smallest = 1
	}
	reply, err := s.read(ctx, browseScript, "scan", prefix, c.place, n, smallest)
	if err != nil {
		return nil, "", fmt.Errorf("scanning: %w", err)
	}
	r := reader{reply: reply}
	process, end, keys := r.string(), r.string(), r.strings()
	if err := r.failure(); err != nil {
		return nil, "", err
	}
	process = process[:min(len(process), processDigits)]
	if c.process != "" && c.process != process {
		return nil, "", store.ErrCursor
	}
	c.process = process
	keys, next = c.cut(keys, end, n)
	return keys, next, nil
}

// cut returns n of the keys of a step that ends at a place, and where the next step begins.
func (c *scanCursor) cut(keys []string, end string, n int) (some []string, next string) {
	rest := scanCursor{process: c.process, place: end}
	if c.end != "" || len(keys) > n {
		slices.Sort(keys)
		if c.end == end {
			i, found := slices.BinarySearch(keys, c.behind)
			if found {
				i++
			}
			keys = keys[i:]
		}
		if len(keys) > n {
			keys = keys[:n]
			rest = scanCursor{process: c.process, place: c.place, end: end, behind: keys[n-1]}
		}
	}
	if rest.end == "" && end == "0" {
		return keys, ""
	}
	return keys, rest.String()
}
