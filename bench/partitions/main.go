// Command partitions measures one namespace over one and over three primaries of a Redis
// Cluster: how much of Redis's CPU time an entry takes, in batches of equal size. It starts
// the servers itself, on the last of two cores; it has the first one for itself. Primaries
// that work at the same time share that core and its caches, which they would not do in
// production. So it also has one partition work after the other.
//
//	go -C bench run ./partitions
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const (
	slots = 16384
	// batch is how many keys or writes a call to Redis has.
	batch = 32
	// lanes is how many fetches of a partition are on their way at once, as in the engine.
	// Batches of writes follow one another.
	lanes = 3
	// keys is how many keys the namespace has. It is full.
	keys = 30_000
)

// side is a namespace over some primaries.
type side struct {
	primaries, partitions int
	servers               []*redistest.Server
	namespace             *redisstore.Partitions
	created               []atomic.Int64 // in each partition
	results               map[load][]result
}

// load is batches of a kind, to all partitions at once or to one after the other.
type load struct {
	kind   string // fetch or create
	inTurn bool
}

var loads = []load{{"fetch", true}, {"create", true}, {"fetch", false}, {"create", false}}

// result is what one round of a load shows.
type result struct {
	redis float64 // CPU time of Redis an entry, in µs
	own   float64 // that of this process
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds of every side")
	duration := flag.Duration("duration", 2*time.Second, "how long one round lasts")
	server := flag.String("redis-cores", "1", "the cores of Redis, as taskset takes them")
	own := flag.String("own-cores", "0", "the cores of this process")
	flag.Parse()
	if err := run(context.Background(), *rounds, *duration, *server, *own); err != nil {
		fmt.Fprintln(os.Stderr, "partitions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, duration time.Duration, redisCores, ownCores string) (err error) {
	dir, err := os.MkdirTemp("", "partitions")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sides := []*side{{primaries: 1, partitions: 1}, {primaries: 1, partitions: 3}, {primaries: 3, partitions: 3}}
	// What this process starts gets its cores.
	if err := pin(os.Getpid(), redisCores); err != nil {
		return err
	}
	for i, s := range sides {
		s.results = make(map[load][]result)
		defer s.stop()
		if err := s.start(ctx, dir+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	if err := pin(os.Getpid(), ownCores); err != nil {
		return err
	}
	for range rounds {
		for _, load := range loads {
			for _, s := range sides {
				r, err := s.round(ctx, load, duration)
				if err != nil {
					return fmt.Errorf("%s over %d primaries: %w", load.kind, s.primaries, err)
				}
				s.results[load] = append(s.results[load], r)
			}
		}
	}
	show(sides)
	return nil
}

// pin moves all threads of a process.
func pin(pid int, cores string) error {
	out, err := exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset (package util-linux): %w: %s", err, out)
	}
	return nil
}

func (s *side) start(ctx context.Context, dir string) error {
	for i := range s.primaries {
		at := dir + "-" + strconv.Itoa(i)
		if err := os.Mkdir(at, 0o700); err != nil {
			return err
		}
		server, err := redistest.Run(at, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
		if err != nil {
			return err
		}
		s.servers = append(s.servers, server)
	}
	var addrs []string
	for i, server := range s.servers {
		addrs = append(addrs, server.Addr)
		client := server.Client()
		host, port, _ := net.SplitHostPort(s.servers[0].Addr)
		err := errors.Join(
			client.ClusterAddSlotsRange(ctx, i*slots/s.primaries, (i+1)*slots/s.primaries-1).Err(),
			client.ClusterMeet(ctx, host, port).Err())
		if err != nil {
			return err
		}
	}
	if err := s.await(ctx); err != nil {
		return err
	}
	target, err := redisstore.Parse("redis+cluster://" + strings.Join(addrs, ","))
	if err != nil {
		return err
	}
	s.namespace = redisstore.NewPartitions(redisstore.Config{Target: target, Namespace: "cache", Logger: zap.NewNop()}, s.partitions)
	s.created = make([]atomic.Int64, s.partitions)
	for i, st := range s.namespace.Stores() {
		for s.created[i].Load() < int64(2*keys/s.partitions) {
			if err := s.call(ctx, st, i, "create", 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until all nodes know all slots.
func (s *side) await(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		ready := 0
		for _, server := range s.servers {
			info, err := server.Client().ClusterInfo(ctx).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:"+strconv.Itoa(s.primaries)+"\r") {
				ready++
			}
		}
		if ready == len(s.servers) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the cluster does not form")
		}
	}
}

func (s *side) stop() {
	if s.namespace != nil {
		_ = s.namespace.Close()
	}
	for _, server := range s.servers {
		server.Stop()
	}
}

// round runs a load for a while.
func (s *side) round(ctx context.Context, l load, duration time.Duration) (result, error) {
	redisBefore, ownBefore := s.cpu(ctx), ownCPU()
	var calls atomic.Int64
	var failed error
	if l.inTurn {
		for i := range s.partitions {
			if failed == nil {
				failed = s.work(ctx, l.kind, []int{i}, duration/time.Duration(s.partitions), &calls)
			}
		}
	} else {
		var all []int
		for i := range s.partitions {
			all = append(all, i)
		}
		failed = s.work(ctx, l.kind, all, duration, &calls)
	}
	entries := float64(calls.Load() * batch)
	return result{redis: (s.cpu(ctx) - redisBefore) * 1e6 / entries, own: (ownCPU() - ownBefore) * 1e6 / entries}, failed
}

// work makes calls to some partitions at once, and counts them.
func (s *side) work(ctx context.Context, kind string, partitions []int, duration time.Duration, calls *atomic.Int64) error {
	end := time.Now().Add(duration)
	var working sync.WaitGroup
	errs := make(chan error, s.partitions*lanes)
	for _, i := range partitions {
		st := s.namespace.Stores()[i]
		for lane := range lanes {
			if kind == "create" && lane > 0 {
				break
			}
			working.Go(func() {
				for n := lane; time.Now().Before(end); n += lanes {
					if err := s.call(ctx, st, i, kind, n); err != nil {
						errs <- err
						return
					}
					calls.Add(1)
				}
			})
		}
	}
	working.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// call makes the n-th call of a kind to partition i.
func (s *side) call(ctx context.Context, st *redisstore.Store, i int, kind string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	name := func(k int64) string { return "key" + strconv.FormatInt(k, 10) }
	if kind == "fetch" {
		asked := make([]string, batch)
		for k := range asked {
			asked[k] = name(s.created[i].Load() - 1 - int64((n*batch+k)*7%(keys/s.partitions/2)))
		}
		_, err := st.Fetch(ctx, asked, store.AnyRoom)
		return err
	}
	writes := make([]store.Write, batch)
	for k := range writes {
		writes[k] = store.Write{Op: store.Create, Key: name(s.created[i].Add(1)), Value: store.Value{Data: make([]byte, 100), Kind: store.Raw}}
	}
	_, err := st.Apply(ctx, store.Batch{Writes: writes, Limits: store.Limits{MaxKeys: keys / s.partitions, Eviction: store.Rank.Name}})
	return err
}

// cpu returns the CPU time of the main threads of all primaries, in seconds.
func (s *side) cpu(ctx context.Context) (sum float64) {
	for _, server := range s.servers {
		sum += mainThread(ctx, server.Client())
	}
	return sum
}

func mainThread(ctx context.Context, client *redis.Client) (sum float64) {
	info, _ := client.InfoMap(ctx, "cpu").Result()
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, _ := strconv.ParseFloat(info["CPU"][name], 64)
		sum += seconds
	}
	return sum
}

func show(sides []*side) {
	fmt.Printf("Batches of %d, values of 100 bytes, %d keys.\n\n", batch, keys)
	fmt.Println("| batches | partitions work | primaries | partitions | Redis, CPU µs an entry | × | node, CPU µs an entry | × | one primary can, a second |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, load := range loads {
		first := sides[0].results[load]
		for _, s := range sides {
			results := s.results[load]
			of := func(value func(result) float64) float64 {
				return median(results, func(i int) float64 { return value(results[i]) })
			}
			against := func(value func(result) float64) float64 {
				return median(results, func(i int) float64 { return value(results[i]) / value(first[i]) })
			}
			redisTime, ownTime := func(r result) float64 { return r.redis }, func(r result) float64 { return r.own }
			work := "at once"
			if load.inTurn {
				work = "in turn"
			}
			fmt.Printf("| %s | %s | %d | %d | %.2f | %.2f | %.2f | %.2f | %.0f |\n", load.kind, work, s.primaries, s.partitions,
				of(redisTime), against(redisTime), of(ownTime), against(ownTime), 1e6/of(redisTime))
		}
	}
}

func median(results []result, value func(i int) float64) float64 {
	values := make([]float64, len(results))
	for i := range results {
		values[i] = value(i)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
