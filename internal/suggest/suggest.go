// Package suggest writes errors about unknown names.
package suggest

import (
	"fmt"
	"regexp"
	"strings"
)

// Unknown says that there is no such name, and which known name may be meant. The word what
// says what the name is for.
func Unknown(what, name string, known []string) string {
	text := "there is no " + what + Quoted(name)
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("%s; did you mean %s?", text, near)
	}
	return fmt.Sprintf("%s; known: %s", text, strings.Join(known, ", "))
}

// harmless matches text that an error may repeat: names and paths, but no URL, which may
// have a password.
var harmless = regexp.MustCompile(`^[\w./*-]{1,64}$`)

// Quoted returns a space and s in quotes. If an error must not repeat s, it returns " like
// that".
func Quoted(s string) string {
	if !harmless.MatchString(s) {
		return " like that"
	}
	return " '" + s + "'"
}

// Nearest returns the known name that is most similar to name; "" if none is similar.
func Nearest(name string, known []string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, least := "", 1+max(2, len(name)/4)
	for _, k := range known {
		if d := edits(name, strings.ReplaceAll(k, "-", "_")); d < least && d < len(name) {
			best, least = k, d
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	// The name may be a part of a known one, such as max_value for max_value_size.
	for _, k := range known {
		if !strings.Contains(strings.ReplaceAll(k, "-", "_"), name) {
			continue
		}
		if best != "" {
			return "" // several are as likely
		}
		best = k
	}
	return best
}

// edits returns the edit distance of a and b: letters to insert, remove, replace, or swap
// with their neighbour.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
		for j := 1; j <= len(b); j++ {
			if i == 0 {
				rows[0][j] = j
				continue
			}
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
