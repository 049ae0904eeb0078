// Command watchers lets many clients watch a running cache while one program writes at a
// steady rate, and reports what that costs the server. Start Caddy with `watch 1000` and
// `methods GET PUT` first.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	url := flag.String("url", "http://localhost:8080/cache", "the cache, with its path prefix")
	pid := flag.Int("pid", 0, "the process of Caddy")
	watchers := flag.Int("watchers", 1000, "how many clients watch")
	rate := flag.Int("rate", 1000, "how many writes a second")
	seconds := flag.Int("seconds", 20, "for how long")
	flag.Parse()
	if err := run(*url, *pid, *watchers, *rate, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string, pid, watchers, rate, seconds int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	idle, err := look(pid)
	if err != nil {
		return err
	}
	var heard, resets, ended atomic.Int64
	var opened, watching sync.WaitGroup
	for range watchers {
		opened.Add(1)
		watching.Go(func() {
			watch(ctx, url+"?watch", opened.Done, &heard, &resets)
			if ctx.Err() == nil {
				ended.Add(1)
			}
		})
	}
	opened.Wait()
	before, err := look(pid)
	if err != nil {
		return err
	}
	began := time.Now()
	wrote := write(url, rate, time.Duration(seconds)*time.Second)
	after, err := look(pid)
	took := time.Since(began)
	if err != nil {
		return err
	}
	time.Sleep(time.Second) // for the last events
	fmt.Printf("%d watchers, %d writes in %d s: %d events heard (%d expected), %d resets, %d streams ended early\n",
		watchers, wrote, int(took.Seconds()), heard.Load(), wrote*watchers, resets.Load(), ended.Load())
	fmt.Printf("CPU of the server: %.2f cores; memory (RSS): %d MiB, %d MiB with the watchers alone, %d MiB without\n",
		(after.cpu-before.cpu).Seconds()/took.Seconds(), after.rss>>20, before.rss>>20, idle.rss>>20)
	cancel()
	watching.Wait()
	return nil
}

// watch counts the events of a stream. It calls opened when the stream has begun or failed.
func watch(ctx context.Context, url string, opened func(), heard, resets *atomic.Int64) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	var resp *http.Response
	if err == nil {
		resp, err = (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(r)
	}
	opened()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, resp.Status)
		return
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "event: reset":
			resets.Add(1)
		case strings.HasPrefix(line, "event: "):
			heard.Add(1)
		}
	}
}

// write sends PUTs at a steady rate, and returns how many were answered.
func write(url string, rate int, d time.Duration) int {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var wrote atomic.Int64
	var writing sync.WaitGroup
	begin := time.Now()
	for w := range 16 {
		writing.Go(func() {
			for n := w; ; n += 16 {
				at := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if at.Sub(begin) >= d {
					return
				}
				time.Sleep(time.Until(at))
				r, _ := http.NewRequest(http.MethodPut, url+"/bench/"+strconv.Itoa(n%5000), strings.NewReader("value"))
				if resp, err := client.Do(r); err == nil {
					resp.Body.Close()
					if resp.StatusCode < 300 {
						wrote.Add(1)
					}
				}
			}
		})
	}
	writing.Wait()
	return int(wrote.Load())
}

// usage is what a process has used.
type usage struct {
	cpu time.Duration
	rss int64
}

// look reads /proc; ticks are hundredths of a second.
func look(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var u usage
	for _, ticks := range fields[11:13] {
		n, _ := strconv.ParseInt(ticks, 10, 64)
		u.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	u.rss = pages * int64(os.Getpagesize())
	return u, nil
}
