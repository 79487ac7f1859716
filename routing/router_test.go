package routing

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

// plainDijkstra searches the whole frontier for the nearest node. It uses no
// arcs, heaps or estimates, and adds both points to the graph as nodes.
func plainDijkstra(g *graph, a, b edgePoint) uint64 {
	n := len(g.nodes)
	type hop struct {
		to   int
		cost uint64
	}
	hops := make([][]hop, n+2)
	link := func(e *edge, from, to int, cost uint64) {
		hops[from] = append(hops[from], hop{to, cost})
		if !e.oneWay {
			hops[to] = append(hops[to], hop{from, cost})
		}
	}

	for i := range g.edges {
		e := &g.edges[i]
		link(e, int(e.from), int(e.to), uint64(e.ms))
	}

	ea, eb := &g.edges[a.edge], &g.edges[b.edge]
	link(ea, n, int(ea.to), ea.costOfShare(1-a.share))
	if !ea.oneWay {
		hops[n] = append(hops[n], hop{int(ea.from), ea.costOfShare(a.share)})
	}
	link(eb, int(eb.from), n+1, eb.costOfShare(b.share))
	if !eb.oneWay {
		hops[eb.to] = append(hops[eb.to], hop{n + 1, eb.costOfShare(1 - b.share)})
	}
	if a.edge == b.edge && (a.share <= b.share || !ea.oneWay) {
		hops[n] = append(hops[n], hop{n + 1, ea.costOfShare(math.Abs(a.share - b.share))})
	}

	cost, frontier := make([]uint64, n+2), []int{n}
	for i := range cost {
		cost[i] = math.MaxUint64
	}
	cost[n] = 0
	for len(frontier) > 0 {
		nearest := 0
		for i, at := range frontier {
			if cost[at] < cost[frontier[nearest]] {
				nearest = i
			}
		}

		at := frontier[nearest]
		frontier = slices.Delete(frontier, nearest, nearest+1)
		for _, h := range hops[at] {
			if cost[h.to] == math.MaxUint64 {
				frontier = append(frontier, h.to)
			}
			cost[h.to] = min(cost[h.to], cost[at]+h.cost)
		}
	}
	return cost[n+1]
}

func TestEveryRouteIsExactlyAsFastAsPlainDijkstraSays(t *testing.T) {
	c := builtInCity()
	router, r := NewRouter(c), dice(3)
	for i := range 60 {
		from, to := c.RandomPoint(r), c.RandomPoint(r)
		if i%6 == 0 { // close together, often on one street
			to = location.Point{Lng: from.Lng + (r.Float64()-.5)/1000, Lat: from.Lat + (r.Float64()-.5)/1000}
		}

		a, err := router.snapToEdge(from)
		if err != nil {
			t.Fatal(err)
		}

		b, err := router.snapToEdge(to)
		if err != nil {
			t.Fatal(err)
		}

		want := time.Duration(plainDijkstra(c.graph, a, b)) * time.Millisecond
		way, err := router.Route(context.Background(), from, to)
		if err != nil || way.Duration != want {
			t.Fatalf("%v to %v: %v (%v), Dijkstra %v", from, to, way.Duration, err, want)
		}

		times, err := router.Times(context.Background(), []location.Point{from}, to)
		if err != nil || times[0] != want {
			t.Fatalf("%v to %v: Times says %v (%v), Dijkstra %v", from, to, times, err, want)
		}
	}
}

func TestARouteIsDrivenInTheTimeItPromises(t *testing.T) {
	c := builtInCity()
	router, r := NewRouter(c), dice(4)
	for range 200 {
		from, to := c.RandomPoint(r), c.RandomPoint(r)
		way, err := router.Route(context.Background(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		if way.Source != SourceRoad || len(way.Path) < 2 || len(way.Speeds) != len(way.Path)-1 {
			t.Fatalf("%s, %d points, %d speeds", way.Source, len(way.Path), len(way.Speeds))
		}
		if location.MetresBetween(way.Path[0], from) > 1 || location.MetresBetween(way.Path[len(way.Path)-1], to) > 1 {
			t.Fatalf("the way from %v to %v begins at %v and ends at %v", from, to, way.Path[0], way.Path[len(way.Path)-1])
		}

		var metres, seconds float64
		for i, v := range way.Speeds {
			step := location.MetresBetween(way.Path[i], way.Path[i+1])
			if v <= 0 || v > maxSpeed {
				t.Fatalf("%g m/s", v)
			}
			metres, seconds = metres+step, seconds+step/v
			if _, ok := c.index.findNearest(mid(way.Path[i], way.Path[i+1]), 1); !ok {
				t.Fatalf("off the road between %v and %v", way.Path[i], way.Path[i+1])
			}
		}

		if math.Abs(metres-way.Metres) > 1 || math.Abs(seconds-way.Duration.Seconds()) > 0.5+0.002*float64(len(way.Path)) {
			t.Fatalf("%.1f m in %.2f s, promised %.1f m in %s", metres, seconds, way.Metres, way.Duration)
		}
	}
}

func mid(a, b location.Point) location.Point {
	return location.Point{Lng: (a.Lng + b.Lng) / 2, Lat: (a.Lat + b.Lat) / 2}
}

// triangle is a city of three streets of about 111 m; one of them may be driven
// only one way.
func triangle(t testing.TB) *City {
	a, b := location.Point{Lng: 3.4, Lat: 6.4}, location.Point{Lng: 3.401, Lat: 6.4}
	c := location.Point{Lng: 3.401, Lat: 6.401}
	city, err := NewCity(Plan{Name: "Triangle", Roads: []Road{
		{Points: []location.Point{a, b}, OneWay: true},
		{Points: []location.Point{b, c}},
		{Points: []location.Point{c, a}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return city
}

func TestAOneWayStreetIsDrivenOneWay(t *testing.T) {
	router := NewRouter(triangle(t))
	west, east := location.Point{Lng: 3.4002, Lat: 6.4}, location.Point{Lng: 3.4008, Lat: 6.4}

	there, err := router.Route(context.Background(), west, east)
	if err != nil || there.Metres > 70 {
		t.Fatalf("along the street: %.0f m, %v", there.Metres, err)
	}

	back, err := router.Route(context.Background(), east, west)
	if err != nil || back.Metres < 280 {
		t.Fatalf("against the street: %.0f m, %v", back.Metres, err)
	}

	times, err := router.Times(context.Background(), []location.Point{east, west}, west)
	if err != nil || times[0] != back.Duration || times[1] != 0 {
		t.Fatalf("%v %v, want %v and 0", times, err, back.Duration)
	}

	still, err := router.Route(context.Background(), west, west)
	if err != nil || len(still.Path) != 2 || len(still.Speeds) != 1 || still.Metres != 0 {
		t.Fatalf("to the same place: %+v, %v", still, err)
	}
}

func TestPlacesFarFromRoadsAreRefused(t *testing.T) {
	router := NewRouter(triangle(t))
	in, out := location.Point{Lng: 3.4002, Lat: 6.4}, location.Point{Lng: 3.42, Lat: 6.4}
	if _, err := router.Route(context.Background(), in, out); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("to outside: %v", err)
	}
	if _, err := router.Route(context.Background(), out, in); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("from outside: %v", err)
	}
	if _, _, err := router.Snap(out); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("snap: %v", err)
	}
	if _, _, err := router.Snap(location.Point{Lng: math.NaN()}); !errors.Is(err, location.ErrPoint) {
		t.Errorf("snap of nothing: %v", err)
	}
	if _, err := router.Times(context.Background(), []location.Point{in}, out); !errors.Is(err, ErrOutsideCity) {
		t.Errorf("times to outside: %v", err)
	}

	times, err := router.Times(context.Background(), []location.Point{out, in}, in)
	if err != nil || times[0] < 25*time.Minute || times[1] != 0 {
		t.Errorf("a stray driver spoils the answer for all: %v %v", times, err)
	}
}

func TestACancelledSearchEnds(t *testing.T) {
	c := builtInCity()
	router, r := NewRouter(c), dice(5)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	cancelled := false
	for range 50 {
		_, err := router.Route(ctx, c.RandomPoint(r), c.RandomPoint(r))
		cancelled = cancelled || errors.Is(err, context.Canceled)
	}

	if !cancelled {
		t.Fatal("fifty searches ran to their end")
	}
}

func TestManyAskAtOnce(t *testing.T) {
	c := builtInCity()
	router := NewRouter(c)
	type trip struct {
		from, to location.Point
		want     time.Duration
	}
	var trips []trip
	r := dice(6)
	for range 40 {
		from, to := c.RandomPoint(r), c.RandomPoint(r)
		way, err := router.Route(context.Background(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		trips = append(trips, trip{from, to, way.Duration})
	}

	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range trips {
				trip := trips[(i+worker*5)%len(trips)]
				way, err := router.Route(context.Background(), trip.from, trip.to)
				if err != nil || way.Duration != trip.want {
					t.Errorf("%v %v, alone %v", way.Duration, err, trip.want)
				}
				times, err := router.Times(context.Background(), []location.Point{trip.from}, trip.to)
				if err != nil || times[0] != trip.want {
					t.Errorf("%v %v, alone %v", times, err, trip.want)
				}
			}
		})
	}

	wg.Wait()
}

// A car just across the water is a bridge away: this is why dispatch asks for
// travel times.
func TestTheNearestCarByAirIsOftenNotTheNearestByRoad(t *testing.T) {
	c := builtInCity()
	router, r := NewRouter(c), dice(8)

	const asked, cars = 120, 60
	differ, lost := 0, time.Duration(0)
	for range asked {
		to := c.RandomPoint(r)
		from := make([]location.Point, cars)
		byAir := 0
		for i := range from {
			from[i] = c.RandomPoint(r)
			if location.MetresBetween(from[i], to) < location.MetresBetween(from[byAir], to) {
				byAir = i
			}
		}

		times, err := router.Times(context.Background(), from, to)
		if err != nil {
			t.Fatal(err)
		}

		if best := slices.Min(times); best < times[byAir] {
			differ++
			lost += times[byAir] - best
		}
	}

	t.Logf("of %d cars the nearest by air is not the first by road in %d of %d cases; whoever takes it waits %s longer",
		cars, differ, asked, (lost / time.Duration(max(1, differ))).Round(time.Second))
	if differ < asked/10 {
		t.Errorf("only %d of %d: the city has too many bridges to be worth a router", differ, asked)
	}
}

func TestTheStraightLineIsCalibratedOnTheBuiltInCity(t *testing.T) {
	c := builtInCity()
	router, r := NewRouter(c), dice(9)
	var detours, speeds []float64
	for range 800 {
		from, to := c.RandomPoint(r), c.RandomPoint(r)
		air := location.MetresBetween(from, to)
		if air < 200 {
			continue
		}

		way, err := router.Route(context.Background(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		detours, speeds = append(detours, way.Metres/air), append(speeds, way.Metres/way.Duration.Seconds())
	}

	slices.Sort(detours)
	slices.Sort(speeds)
	detour, speed := detours[len(detours)/2], speeds[len(speeds)/2]
	t.Logf("median detour %.3f, median speed %.2f m/s", detour, speed)
	if math.Abs(detour-BuiltInStraight.Factor) > 0.06 || math.Abs(speed-BuiltInStraight.Speed) > 0.6 {
		t.Errorf("BuiltInStraight is %+v, measured %.3f and %.2f", BuiltInStraight, detour, speed)
	}
}
