package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// bulkLines is the number of writes in a bulk request.
	bulkLines = 1000
	// bulkConnections send bulk requests at once. Each has at most 128 writes in the queue.
	bulkConnections = 4
	postConnections = 64
)

// kibiValue is a value of 1 KiB.
var kibiValue = strings.Repeat("0123456789abcdef", 64)

// bulkSides returns single POSTs and bulk requests with the same writes.
func bulkSides() (one, bulk *side) {
	one = &side{name: "POST of new keys, 1 KiB, 64 connections, each evicts", site: "capacity", script: "post.lua", full: localKeys, sent: `{"value":"` + kibiValue + `"}`, connections: postConnections}
	bulk = &side{name: "bulk of new keys, 1 KiB, each evicts", site: "capacity", script: "bulk.lua", full: localKeys, sent: kibiValue, lines: bulkLines, connections: bulkConnections}
	return one, bulk
}

// checkBulk sends a bulk request, and returns an error unless all its lines create entries.
func checkBulk(ctx context.Context, sv *servers, s *side) error {
	first := sv.newKeys()
	var body strings.Builder
	for n := range s.lines {
		fmt.Fprintf(&body, "{\"key\":%q,\"value\":%q}\n", key(first+n), s.sent)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sv.url(s.site)+"/cache", strings.NewReader(body.String()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if created := strings.Count(string(answer), `"status":201`); created != s.lines {
		return fmt.Errorf("of %d lines of a bulk request %d created an entry: %.200s", s.lines, created, answer)
	}
	return nil
}
