package main

import "fmt"

// form is the form of requests: each program has other paths.
type form struct {
	before, after string // the path of a read, before the key and after it
	write         string // the method of a write, and the path before the key
	contentType   string // of a write
}

// ourForm is the form of requests to this module.
var ourForm = form{before: "/cache/", write: "POST /cache/", contentType: "application/json"}

// path returns the path of a read.
func (f form) path(n int) string { return f.before + key(n) + f.after }

// get returns a read, as it is sent.
func (f form) get(n int) string {
	return "GET " + f.path(n) + " HTTP/1.1\r\nHost: bench\r\n\r\n"
}

// set returns a write, as it is sent.
func (f form) set(n int, body string) string {
	return fmt.Sprintf("%s%s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		f.write, key(n), f.contentType, len(body), body)
}
