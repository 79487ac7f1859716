package sharedstate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// The benchmarks' city is a square of 40 by 40 km.
const boxDegrees = 0.36

func randomPoint(rng *rand.Rand) location.Point {
	return location.Point{Lng: 3.2 + rng.Float64()*boxDegrees, Lat: 6.4 + rng.Float64()*boxDegrees}
}

// fleet is a city full of drivers on duty, who drive at 10 m/s.
type fleet struct {
	drivers *Drivers
	ids     []trips.DriverID
	handles []DriverHandle
	lastFix []location.Fix
	now     time.Time
}

// hundredThousand and million are the sizes of the fleets; with -short they are
// the hundredth part.
func hundredThousand() int { return fleetSize(100_000) }
func million() int         { return fleetSize(1_000_000) }

func fleetSize(n int) int {
	if testing.Short() {
		return n / 100
	}
	return n
}

func newFleet(n, shards int) *fleet {
	f := &fleet{drivers: NewDrivers(DriverOptions{Node: "n", Shards: shards, SuspectAfter: time.Hour}),
		ids: make([]trips.DriverID, n), handles: make([]DriverHandle, n), lastFix: make([]location.Fix, n), now: time.Now()}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range f.ids {
		f.ids[i] = trips.DriverID("driver-" + strconv.Itoa(i))
		f.lastFix[i] = location.Fix{Point: randomPoint(rng), At: time.Now().Add(-time.Minute)}
		f.handles[i] = f.drivers.Connect(f.ids[i], "n")
		f.drivers.SetAvailable(f.ids[i], true)
		f.drivers.Move(f.ids[i], f.lastFix[i])
	}

	return f
}

// moveDriver moves driver i ten metres on as a gateway does: through the handle
// of a connected driver, with a time that was read before. Only one goroutine
// may move a driver at a time.
func (f *fleet) moveDriver(i int, b *testing.B) {
	fix := &f.lastFix[i]
	if i%2 == 0 {
		fix.Lng += 0.00009
	} else {
		fix.Lat -= 0.00009
	}

	fix.At = fix.At.Add(10 * time.Millisecond)
	if r, _ := f.handles[i].Move(*fix, f.now); r != location.Accepted {
		b.Error(r)
	}
}

// runMoves lets each core move its own share of the fleet, in an order that
// caches cannot predict.
func (f *fleet) runMoves(b *testing.B) {
	cores := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	b.ResetTimer()

	for c := range cores {
		wg.Go(func() {
			share := len(f.ids) / cores
			for n := range (b.N + cores - 1) / cores {
				f.moveDriver(c*share+n*7919%share, b)
			}
		})
	}

	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "moves/s")
}

func BenchmarkMoves(b *testing.B) {
	for _, n := range []int{hundredThousand(), million()} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { cachedFleet(n, 64).runMoves(b) })
	}
}

// BenchmarkShards shows what more locks over the ids bring. On two quiet cores
// 64 locks do nearly twice the work of one, beside two busy loops half as much
// more. Under heavier load the runs differ by more than that.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(shards), func(b *testing.B) { cachedFleet(hundredThousand(), shards).runMoves(b) })
	}
}

// BenchmarkMovesTracked is BenchmarkMoves while changes are listed and taken five
// times a second, as they are while other nodes are alive.
func BenchmarkMovesTracked(b *testing.B) {
	f := cachedFleet(hundredThousand(), 64)
	f.drivers.SetTracking(true)
	defer f.drivers.SetTracking(false)
	f.drivers.TakeChanged(nil)

	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan struct{})
	defer close(done)
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		var taken []Driver
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				taken = f.drivers.TakeChanged(taken[:0])
			}
		}
	})
	b.ReportAllocs()
	f.runMoves(b)
}

var fleets = map[string]*fleet{}

func cachedFleet(n, shards int) *fleet {
	key := fmt.Sprint(n, "/", shards)
	if fleets[key] == nil {
		clear(fleets) // Keep one fleet in memory at a time.
		fleets[key] = newFleet(n, shards)
	}
	return fleets[key]
}

// startTraffic moves drivers at a rate until stop is called.
func (f *fleet) startTraffic(perSecond int, b *testing.B) (stop func()) {
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i, begin := 0, time.Now(); !done.Load(); <-tick.C {
			for due := int(time.Since(begin).Seconds() * float64(perSecond)); i < due; i++ {
				f.moveDriver(i*7919%len(f.ids), b)
			}
		}
	})

	return func() { done.Store(true); wg.Wait() }
}

// buildRings searches once from every driver's position, so that all rings
// exist, as they do in a node after its first minutes.
func (f *fleet) buildRings() {
	for i := range f.lastFix {
		f.drivers.Nearest(f.lastFix[i].Point, 1, 1000, nil)
	}
}

// BenchmarkNearest searches for the ten nearest drivers within 5 km while
// others move 50,000 times a second. Redis has an easier task: it searches
// within 1 km while no driver moves.
func BenchmarkNearest(b *testing.B) {
	ours := map[int]float64{}
	for _, n := range []int{hundredThousand(), million()} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := cachedFleet(n, 64)
			f.buildRings()
			defer f.startTraffic(50_000, b)()

			b.ReportAllocs()
			b.ResetTimer()

			var found atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
				var dst []NearbyDriver
				n := 0
				for pb.Next() {
					dst = f.drivers.Nearest(randomPoint(rng), 10, 5000, dst[:0])
					n += len(dst)
				}
				found.Add(int64(n))
			})
			if found.Load() == 0 {
				b.Error("no search found a driver")
			}

			ours[n] = float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(ours[n], "searches/s")
		})
	}

	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("redis/pipeline=%d", batch), func(b *testing.B) { benchRedisNearest(b, batch, ours[hundredThousand()]) })
	}
}

func benchRedisNearest(b *testing.B, batch int, ours float64) {
	url := os.Getenv("RIDEHAIL_TEST_REDIS")
	if url == "" {
		b.Skip("set RIDEHAIL_TEST_REDIS=redis://… (or use ci/with-services) to compare with Redis GEOSEARCH")
	}

	opts, err := redis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}

	r := redis.NewClient(opts)
	defer r.Close()

	ctx, key := context.Background(), "ridehail:bench:geo"
	fillRedisGeo(b, r, key)
	defer r.Del(ctx, key)
	b.ResetTimer()

	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
		for more := true; more; {
			p := r.Pipeline()
			for range batch {
				if more = pb.Next(); !more {
					break
				}
				at := randomPoint(rng)
				p.GeoSearchLocation(ctx, key, &redis.GeoSearchLocationQuery{WithDist: true, GeoSearchQuery: redis.GeoSearchQuery{
					Longitude: at.Lng, Latitude: at.Lat, Radius: 1, RadiusUnit: "km", Sort: "ASC", Count: 10}})
			}

			if _, err := p.Exec(ctx); err != nil {
				b.Error(err)
			}
		}
	})

	theirs := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(theirs, "searches/s")
	if ours > 0 {
		b.ReportMetric(ours/theirs, "ours/redis")
	}
}

func fillRedisGeo(b *testing.B, r *redis.Client, key string) {
	ctx, rng := context.Background(), rand.New(rand.NewPCG(1, 2))
	for range hundredThousand() / 1000 {
		places := make([]*redis.GeoLocation, 1000)
		for i := range places {
			p := randomPoint(rng)
			places[i] = &redis.GeoLocation{Name: fmt.Sprint(rng.Uint64()), Longitude: p.Lng, Latitude: p.Lat}
		}

		if err := r.GeoAdd(ctx, key, places...).Err(); err != nil {
			b.Fatalf("fill %s: %v", r.Options().Addr, err)
		}
	}
}
