package dump

import (
	"fmt"
	"strconv"
)

// ExportCounts is the progress of an export.
type ExportCounts struct {
	Entries int
	Total   int   // number of entries at the begin; it may change meanwhile
	Bytes   int64 // written
	// Left counts entries whose keys Check refused.
	Left int
}

// String describes the progress in words.
func (c ExportCounts) String() string {
	s := "exported " + strconv.Itoa(c.Entries) + " of " + strconv.Itoa(max(c.Total, c.Entries)) + " entries, " + inBytes(c.Bytes)
	if c.Left > 0 {
		s += "; " + strconv.Itoa(c.Left) + " left out, since no request can name their keys"
	}
	return s
}

// inBytes writes a size in bytes, and a large one in a larger unit as well.
func inBytes(n int64) string {
	exact := strconv.FormatInt(n, 10) + " bytes"
	size, unit := float64(n), ""
	for _, larger := range []string{"KiB", "MiB", "GiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, larger
	}
	if unit == "" {
		return exact
	}
	return fmt.Sprintf("%s (%.1f %s)", exact, size, unit)
}
