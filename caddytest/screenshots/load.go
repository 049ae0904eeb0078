package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// load behaves like the pages of a shop: it reads popular keys most often, and creates absent
// ones. There are more keys than the store holds. It ends with ctx, or when a node does not
// answer at all. A busy machine may answer some requests with 503.
func load(ctx context.Context, nodes []*node) error {
	const clients = 12
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	began := time.Now()
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			popular := rand.NewZipf(random, 1.15, 10, 30_000)
			for ctx.Err() == nil {
				key := keyOf(popular.Uint64())
				if err := readOrCreate(ctx, client, nodes[i%len(nodes)].url+"/cache/"+key, random); err != nil && ctx.Err() == nil {
					cancel(err)
				}
				// The load rises and falls in waves of a few minutes.
				wave := 1 + 0.5*math.Sin(time.Since(began).Minutes()*1.6)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(random.ExpFloat64() * wave * float64(14*time.Millisecond))):
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

func keyOf(n uint64) string {
	kinds := []string{"product/%d/price", "product/%d/stock", "user/%x/profile", "page/category/%d", "session/%08x"}
	return fmt.Sprintf(kinds[n%uint64(len(kinds))], n*2654435761%1_000_003)
}

func readOrCreate(ctx context.Context, client *http.Client, url string, random *rand.Rand) error {
	status, err := send(ctx, client, "GET", url, "")
	if err != nil || status != http.StatusNotFound {
		return err
	}
	_, err = send(ctx, client, "POST", url, `{"value": {"amount": 39.90, "text": "`+strings.Repeat("x", random.IntN(1500))+`"}}`)
	return err
}

func send(ctx context.Context, client *http.Client, method, url, body string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
