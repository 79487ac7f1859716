// Package distance holds the experiments about what is far away, lost or slow.
package distance

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// cityAway is the round trip of the ride that is counted: a region of a cloud
// some 3,000 km away.
const cityAway = 40 * time.Millisecond

// rideRoundTrips is how many round trips a ride waits for between phones and
// node: the quote, the request with its offer, the acceptance, and three steps.
const rideRoundTrips = 6

// RTT returns the experiment rtt.
func RTT() finding.Experiment {
	return finding.Experiment{
		Name:      "rtt",
		Topic:     finding.LatencyAndLoss,
		Asks:      []string{"R4", "P2"},
		Question:  "What does distance do to throughput?",
		Teaser:    "distance and throughput",
		Situation: "One request at a time to a Redis 40 ms away. How many a second? And 100 at a time?",
		Options: []string{
			"thousands: Redis answers 50,000 a second",
			"25, and with 100 outstanding 100 times as many",
			"25, and outstanding requests only wait in a queue",
		},
		Knobs: []finding.Knob{
			{Name: "far", Label: "Longest round trip", Help: "Round trip to the farthest server.", Unit: "ms", Default: 150, Low: 50, High: 500, Step: 10},
			{Name: "window", Label: "Most outstanding", Help: "Requests that may be under way at once, at most.", Default: 100, Low: 20, High: 1000, Step: 10, Log: true},
			{Name: "rides", Label: "Rides", Help: "Rides of which the quickest counts.", Default: 5, Low: 1, High: 20, Step: 1},
		},
		Takes:      8 * time.Second,
		TakesRedis: true, TakesDatabase: true,
		Real: "Redis over TCP, a node, phones; with --database Postgres by the app's store",
		Made: "the distance: half of the round trip each way",
		Code: []finding.Code{
			{File: "events/redis.go", Func: "newRedis", Why: "16 connections: the app's window"},
			{File: "store/postgres/apply.go", Func: "tripStore.Apply", Why: "a transaction in one round trip"},
			{File: "lab/distance/rtt_redis.go", Func: "asker.ask", Why: "the window of this run"},
			{File: "lab/line/line.go", Func: "way.send", Why: "the line"},
		},
		Next: "Ten times the window, until the machine is full: ridehail lab rtt --window 1000",

		Frame: func(v finding.Values) plot.Chart { return newRTT(v).emptyChart() },
		Run: func(ctx context.Context, run *finding.Run) (finding.Result, error) {
			r := newRTT(run.Values)
			found, parts, err := r.run(ctx, run)
			if ctx.Err() != nil {
				return finding.Result{}, ctx.Err()
			}
			if err != nil {
				return finding.Result{}, fmt.Errorf("servers at a distance: %w", err)
			}
			return r.buildResult(found, parts), nil
		},
	}
}

// rtt is the settings of a run.
type rtt struct {
	roundTrips []time.Duration
	windows    []int
	rides      int
}

func newRTT(v finding.Values) rtt {
	const ms = time.Millisecond
	return rtt{roundTrips: []time.Duration{0, ms, 10 * ms, 40 * ms, v.Milliseconds("far")}, windows: []int{1, 10, v.Int("window")}, rides: v.Int("rides")}
}

// lawOfWindow returns the most requests a second with a window at a distance:
// each of those outstanding is back after one round trip (Little 1961).
func lawOfWindow(window int, roundTrip time.Duration) float64 {
	return float64(window) / roundTrip.Seconds()
}

func (r rtt) emptyChart() plot.Chart {
	c := plot.Chart{
		Title: "What distance does to throughput",
		X:     plot.Axis{Name: "round trip in ms", Log: true, Start: 1, End: toMilliseconds(r.roundTrips[len(r.roundTrips)-1])},
		Y:     plot.Axis{Name: "answers a second", Log: true, Start: 1, End: lawOfWindow(r.windows[2], time.Millisecond)},
	}

	var laws, measured []plot.Curve
	for _, w := range r.windows {
		l := plot.Curve{Name: fmt.Sprintf("law: %d / round trip", w), Style: plot.Law}
		for _, roundTrip := range r.roundTrips[1:] {
			l.Points = append(l.Points, plot.Point{X: toMilliseconds(roundTrip), Y: lawOfWindow(w, roundTrip)})
		}
		laws, measured = append(laws, l), append(measured, plot.Curve{Name: curveOf(w), Dots: true})
	}
	c.Panels = []plot.Panel{{Curves: append(laws, measured...)}}
	return c
}

func curveOf(window int) string { return fmt.Sprintf("%d outstanding", window) }

func toMilliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// rttFigures is what a run found.
type rttFigures struct {
	redis []speed
	sql   []speed // empty without a real Postgres
	ride  rideFigures
}

// speed is the throughput with a window at a distance.
type speed struct {
	Server    string        `json:"server"`
	RoundTrip time.Duration `json:"-"`
	Millis    float64       `json:"round_trip_ms"`
	Window    int           `json:"window"`
	PerSecond float64       `json:"per_second"`
	Share     float64       `json:"share_of_law,omitempty"` // 0 at no distance, where the law has no limit
}

func newSpeed(server string, window int, roundTrip time.Duration, perSecond float64) speed {
	s := speed{Server: server, RoundTrip: roundTrip, Millis: toMilliseconds(roundTrip), Window: window, PerSecond: perSecond}
	if roundTrip > 0 {
		s.Share = perSecond / lawOfWindow(window, roundTrip)
	}
	return s
}

// rideFigures is how long rides took, from the quote to the last ack.
type rideFigures struct {
	Near     time.Duration // phones beside the node, whose Redis is far
	Far      time.Duration // phones far from the node
	Database time.Duration // phones beside the node, whose Postgres is far; 0: not run
	Rides    int
	Chunks   int64 // that the far phones sent on their rides, each a packet
}

// roundTrips returns how many round trips a ride took by what its phones sent:
// each but the driver's fix, for whose arrival no phone waits. It is no whole
// number when the rides differed.
func (f rideFigures) roundTrips() float64 { return float64(f.Chunks)/float64(f.Rides) - 1 }

// roundTripsWithin returns how many round trips fit into a time.
func roundTripsWithin(took time.Duration) int { return int(took / cityAway) }
