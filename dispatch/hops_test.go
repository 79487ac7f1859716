package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// withTracer makes the town record a share of its trips.
func withTracer(ratio float64) func(*Config) {
	return func(c *Config) {
		tracer, err := tracing.New(context.Background(), tracing.Config{Node: c.Node, Ratio: ratio, Now: time.Now})
		if err != nil {
			panic(err)
		}
		c.Tracer = tracer
	}
}

// hopsOf returns what was recorded of a trip, in the order of its ends.
func (w *testTown) hopsOf(id trips.TripID) []tracing.Recorded {
	hops := w.cfg.Tracer.Ring().HopsOf(string(id))
	slices.SortStableFunc(hops, func(a, b tracing.Recorded) int { return int(a.Ended - b.Ended) })

	// The search records its reserve beside its round, which another goroutine
	// records; on a clock that stands still they end at once.
	round := []string{tracing.WindowWait.Name, tracing.CandidateSearch.Name, tracing.MatrixCall.Name, tracing.Assignment.Name}
	for i := len(hops) - 2; i >= 0; i-- {
		for n := i; n+1 < len(hops) && hops[n].Name == tracing.Reserve.Name && hops[n+1].Ended == hops[n].Ended && slices.Contains(round, hops[n+1].Name); n++ {
			hops[n], hops[n+1] = hops[n+1], hops[n]
		}
	}
	return hops
}

// wantHops compares the names of a trip's hops, each with its phase's number if
// it has one, and its code.
func (w *testTown) wantHops(id trips.TripID, want ...string) {
	w.t.Helper()
	var got []string
	for _, h := range w.hopsOf(id) {
		name := h.Name
		if h.Nth > 0 {
			name += fmt.Sprint(" ", h.Nth)
		}
		if h.Code != "" {
			name += " " + h.Code
		}
		if h.Failed {
			name += "!"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("recorded\n%q, want\n%q", got, want)
	}
}

// hopNamed returns the first hop of a trip with a name.
func (w *testTown) hopNamed(id trips.TripID, k *tracing.Kind) tracing.Recorded {
	w.t.Helper()
	for _, h := range w.hopsOf(id) {
		if h.Name == k.Name {
			return h
		}
	}
	w.t.Fatalf("there is no %s", k.Name)
	return tracing.Recorded{}
}

func TestTheHopsOfAWindowAreSharedByItsTrips(t *testing.T) {
	runInTown(t, metresOf{"x": 100, "a": 300, "b": 900, "c": 1000}, func(w *testTown) {
		w.requestTrip("r0", true)
		asked := []trips.TripID{w.requestTrip("r1", true), w.requestTrip("r2", true), w.requestTrip("r3", true)}
		w.advance(DefaultWindow)

		for _, k := range []*tracing.Kind{tracing.CandidateSearch, tracing.MatrixCall, tracing.Assignment} {
			first := w.hopNamed(asked[0], k)
			for _, id := range asked {
				if h := w.hopNamed(id, k); h.Span != first.Span || h.Batch != 3 || h.Phase != tracing.Match {
					t.Errorf("%+v is not shared with %+v", h, first)
				}
			}
		}
		spans, _ := w.cfg.Tracer.Ring().Since(0)
		if n := len(slices.DeleteFunc(spans, func(h tracing.Recorded) bool { return h.Name != tracing.Assignment.Name })); n != 2 {
			t.Errorf("two windows were matched, in %d spans", n)
		}

		for _, id := range asked {
			w.wantHops(id, "window_wait", "candidates", "matrix_call", "assignment", "reserve")
			if h := w.hopNamed(id, tracing.WindowWait); h.Duration() != DefaultWindow {
				t.Errorf("it waited %v for its window", h.Duration())
			}
		}
	}, withWindows, withTracer(1), func(c *Config) {
		c.Policy.Matcher = MinCostMatcher{ETA: etaFunc(func(context.Context, []location.Point, location.Point) ([]time.Duration, string, error) {
			return nil, "road", nil
		})}
	})
}

// losingFleet loses the first compare-and-set to another search.
type losingFleet struct {
	*fakeFleet
	lost atomic.Bool
}

func (f *losingFleet) Reserve(id trips.DriverID, hold string) error {
	if f.lost.CompareAndSwap(false, true) {
		return sharedstate.ErrNotAvailable
	}
	return f.fakeFleet.Reserve(id, hold)
}

func TestALostReserveIsAHopAndTheNextRoundToo(t *testing.T) {
	runInTown(t, metresOf{"a": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.wantOffered()
		w.advance(time.Second)
		w.wantOffered("a")
		w.wantHops(id, "window_wait", "candidates", "assignment", "reserve taken!", "window_wait", "candidates", "assignment", "reserve")
	}, withTracer(1), func(c *Config) { c.Drivers = &losingFleet{fakeFleet: c.Drivers.(*fakeFleet)} })
}

func TestEachOfferHasItsNumberAndItsEnd(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		id := w.requestTrip("r", true)
		first := w.lastOffer()
		w.advance(15 * time.Second)
		second := w.lastOffer()
		if first.Nth != 1 || second.Nth != 2 || first.ID == second.ID {
			t.Errorf("offers %+v and %+v", first, second)
		}
		w.advance(4 * time.Second)
		w.acceptOffer(second, true)

		w.wantHops(id, "window_wait", "candidates", "assignment", "reserve", "offer_ended 1 expired!",
			"window_wait 2", "candidates 2", "assignment 2", "reserve 2", "offer_ended 2 accepted")
		if h := w.hopNamed(id, tracing.OfferEnded); h.Phase != tracing.Offer || h.Reason != "expired" {
			t.Errorf("the end of the first offer is %+v", h)
		}
	}, withTracer(1))
}

func TestEveryEndOfAnOfferIsNamed(t *testing.T) {
	for want, ends := range map[string]func(w *testTown, o Offer){
		"declined!":    func(w *testTown, o Offer) { w.declineOffer(o) },
		"driver_gone!": func(w *testTown, o Offer) { w.dispatcher.OnDriverGone(o.Driver) },
		"driver_busy!": func(w *testTown, o Offer) { w.dispatcher.OnDriverBusy(o.ID, o.Driver) },
		"withdrawn":    func(w *testTown, o Offer) { w.cancelTrip(o.Trip.ID, "r", true) },
	} {
		runInTown(t, metresOf{"near": 300}, func(w *testTown) {
			id := w.requestTrip("r", true)
			ends(w, w.lastOffer())
			w.advance(0)
			got := w.hopNamed(id, tracing.OfferEnded)
			if got.Code != strings.TrimSuffix(want, "!") || got.Failed != strings.HasSuffix(want, "!") {
				t.Errorf("an offer that is %s ended as %+v", want, got)
			}
		}, withTracer(1))
	}
}

func TestADriverWhoCannotBeReachedIsTheEndOfTheOffer(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.transport.unreachable["near"] = true
		id := w.requestTrip("r", true)
		w.advance(0)
		w.wantOffered("far")
		if got := w.hopNamed(id, tracing.OfferEnded); got.Code != "unreachable" || !got.Failed || got.Nth != 1 || w.lastOffer().Nth != 2 {
			t.Errorf("%+v, and then %+v", got, w.lastOffer())
		}
	}, withTracer(1))
}

// TestHundredsOfWindowsWithoutACarAreOneWait keeps a trip's hops within their
// bound.
func TestHundredsOfWindowsWithoutACarAreOneWait(t *testing.T) {
	for _, policy := range []func(*Config){withWindows, func(*Config) {}} {
		runInTown(t, metresOf{}, func(w *testTown) {
			id := w.requestTrip("r", true)
			w.advance(60 * time.Second)
			w.fleet.mu.Lock()
			w.fleet.metres["late"] = 400
			w.fleet.mu.Unlock()
			w.advance(4 * time.Second)
			w.wantOffered("late")

			w.wantHops(id, "window_wait", "candidates", "window_wait", "candidates", "assignment", "reserve")
			h := w.hopsOf(id)[2]
			if h.Duration() < 60*time.Second || !strings.Contains(h.Reason, " times there was no car") {
				t.Errorf("of the second wait: %v, %q", h.Duration(), h.Reason)
			}
		}, policy, withTracer(1))
	}
}

func TestTheWaitOfATripThatGetsNoDriverIsRecorded(t *testing.T) {
	for _, policy := range []func(*Config){withWindows, func(*Config) {}} {
		runInTown(t, metresOf{}, func(w *testTown) {
			expires, cancelled := w.requestTrip("r", true), w.requestTrip("s", true)
			w.advance(50 * time.Second)
			w.cancelTrip(cancelled, "s", true)
			w.advance(200 * time.Second)
			w.wantTrip(expires, trips.Expired, ReasonNoDriverNearby)
			for id, least := range map[trips.TripID]time.Duration{expires: 175 * time.Second, cancelled: 45 * time.Second} {
				hops := w.hopsOf(id)
				if last := hops[len(hops)-1]; last.Name != tracing.WindowWait.Name || last.Duration() < least {
					t.Errorf("the last hop is %+v", last)
				}
			}
		}, policy, withTracer(1))
	}
}

func TestWhatStandsInForARoutingServiceIsSaid(t *testing.T) {
	for _, policy := range []string{GreedyPolicy, BatchedPolicy} {
		for code, answer := range map[string]func() (string, error){
			"":            func() (string, error) { return "road", nil },
			"unavailable": func() (string, error) { return "straight_line", nil },
			"failed":      func() (string, error) { return "", errors.New("the point is outside the city") },
		} {
			runInTown(t, metresOf{"near": 300}, func(w *testTown) {
				id := w.requestTrip("r", true)
				w.wantOffered("near")
				if h := w.hopNamed(id, tracing.MatrixCall); h.Code != code || h.Failed != (code != "") || (h.Reason != "") != (code != "") {
					t.Errorf("%s, %q: %+v", policy, code, h)
				}
			}, withTracer(1), func(c *Config) {
				eta := etaFunc(func(_ context.Context, from []location.Point, _ location.Point) ([]time.Duration, string, error) {
					source, err := answer()
					return make([]time.Duration, len(from)), source, err
				})
				var err error
				if c.Policy, err = NewPolicy(policy, eta, 1); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestNodesThatWereAskedAreNamedAndTheLateOnesToo(t *testing.T) {
	for want, late := range map[string][]string{"n2, n3 answered": nil, "n3 has not answered": {"n3"}} {
		others := &askedNodes{knows: metresOf{"far": 9000}, late: late}
		runInTown(t, metresOf{}, func(w *testTown) {
			id := w.requestTrip("r1", true)
			w.wantOffered("far")
			h := w.hopNamed(id, tracing.LookAround)
			if !strings.Contains(h.Reason, want) || h.Failed != (late != nil) {
				t.Errorf("%+v", h)
			}
		}, withTracer(1), func(c *Config) {
			others.fleet = c.Drivers.(*fakeFleet)
			c.LookAround = others.answer
		})
	}
}

func TestATripThatIsNotSampledLeavesNothing(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		id := w.requestTrip("r", false)
		w.advance(2 * time.Second)
		w.acceptOffer(w.lastOffer(), true)
		if _, n := w.cfg.Tracer.Ring().Since(0); n != 0 || len(w.hopsOf(id)) != 0 {
			t.Errorf("%d hops", n)
		}
	}, withWindows, withTracer(1e-12))
}

func TestATakeoverNamesTheNodeThatHadTheRegion(t *testing.T) {
	for _, c := range []struct {
		story  string
		former FormerOwner
		late   time.Duration // until the nodes change; 0: they do not
		code   string
		says   string
	}{
		{"the owner died", FormerOwner{Node: "n2"}, time.Second, "owner_gone", "node n2 searched for a driver and is gone"},
		{"a node came", FormerOwner{Node: "n2", IsAlive: true}, time.Second, "owner_changed", "node n2 had the region"},
		{"the nodes changed before", FormerOwner{Node: "n2"}, -time.Second, "no_search", "the scan of the database found it"},
		{"an event was lost", FormerOwner{}, 0, "no_search", "the scan of the database found it"},
	} {
		var former atomic.Pointer[FormerOwner]
		runInTown(t, metresOf{"near": 300}, func(w *testTown) {
			before := c.former
			if c.late != 0 {
				before.Until = time.Now().Add(c.late)
			}
			former.Store(&before)
			id := w.requestTrip("r", false)
			w.advance(2 * time.Second)
			h := w.hopNamed(id, tracing.TakenOver)
			if h.Code != c.code || !strings.Contains(h.Reason, c.says) || h.Phase != tracing.Takeover {
				t.Errorf("%s: %+v", c.story, h)
			}
		}, withTracer(1), func(cfg *Config) {
			cfg.FormerOwner = func(location.Region) FormerOwner { return *former.Load() }
		})
	}
}

func TestANodeThatIsStartedGoesOnWithOpenTrips(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.advance(5 * time.Second)
		w.stopDispatcher()
		w.advance(5 * time.Second)
		w.startDispatcher()
		w.wantOffered("near", "near")
		if h := w.hopNamed(id, tracing.TakenOver); h.Code != "started" || !strings.Contains(h.Reason, "node n1 was started") {
			t.Errorf("%+v", h)
		}
	}, withTracer(1))
}

func TestATripThatAnEventBeganIsNoTakeover(t *testing.T) {
	runInTown(t, metresOf{}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.advance(10 * time.Second)
		for _, h := range w.hopsOf(id) {
			if h.Name == tracing.TakenOver.Name {
				t.Errorf("%+v", h)
			}
		}
	}, withTracer(1))
}
