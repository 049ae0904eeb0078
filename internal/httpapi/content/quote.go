package content

// escapes has the JSON escapes of the characters that RFC 8259 requires to be escaped. It
// is empty for all others, also for < and >, which encoding/json escapes.
var escapes = func() (table [256]string) {
	const hex = "0123456789abcdef"
	for c := range byte(' ') {
		table[c] = `\u00` + hex[c>>4:c>>4+1] + hex[c&15:c&15+1]
	}
	table['\b'], table['\f'], table['\n'], table['\r'], table['\t'] = `\b`, `\f`, `\n`, `\r`, `\t`
	table['"'], table['\\'] = `\"`, `\\`
	return table
}()

// QuotedLen returns the number of bytes that AppendQuoted appends.
func QuotedLen[T string | []byte](s T) int {
	n := len(s) + len(`""`)
	for i := range len(s) {
		if e := escapes[s[i]]; e != "" {
			n += len(e) - 1
		}
	}
	return n
}

// AppendQuoted appends s as a JSON string. s must be valid UTF-8.
func AppendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		e := escapes[s[i]]
		if e == "" {
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = append(dst, e...)
		from = i + 1
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
