package simulation

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// street is a city of one straight street of 20 km, on which a car drives 10
// m/s.
func street(t *testing.T) *routing.City {
	t.Helper()
	var line []location.Point
	for i := range 201 {
		line = append(line, at(float64(i)*100))
	}

	city, err := routing.NewCity(routing.Plan{Name: "Street", Roads: []routing.Road{{Points: line, Speed: 10}}})
	if err != nil {
		t.Fatal(err)
	}
	return city
}

// at is the point of the street some metres from its western end, on the
// equator.
func at(metres float64) location.Point {
	return location.Point{Lng: 10 + metres/111_194.9}
}

// town returns a city without people, whose drivers accept after three seconds.
func town(t *testing.T, policy string, rules dispatch.Rules, hours float64) *world {
	t.Helper()
	w, err := newWorld(t.Context(), Config{City: street(t), Policy: policy, Seed: 1, Drivers: 1, RidersPerHour: 1, Hours: hours, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}

	w.decide = func(*car, *ride, time.Duration) (offerAnswer, time.Duration) { return answerAccept, 3 * time.Second }
	w.onEvent = func() { inOrder(t, w) }
	return w
}

// driver begins a shift now.
func driver(w *world, metres float64) *car { return w.addDriver(len(w.fleet), at(metres), epoch) }

// rider adds a person who wants a ride from one place of the street to another,
// after a time.
func rider(w *world, after time.Duration, from, to float64) {
	who := rideDemand{at: after, from: at(from), to: at(to), patience: 100 * time.Hour, maxPrice: 100}
	w.agenda.schedule(epoch.Add(after), func() { w.requestRide(who) })
}

func live(t *testing.T, w *world) Result {
	t.Helper()
	r, err := w.runEvents()
	if err != nil {
		t.Fatal(err)
	}
	conserves(t, r)
	return r
}

// conserves checks that no rider is lost or counted twice.
func conserves(t *testing.T, r Result) {
	t.Helper()
	if r.Wishes != r.PricedOut+r.NoWay+r.Requests {
		t.Errorf("%d wishes, but %d priced out, %d without a way and %d requests", r.Wishes, r.PricedOut, r.NoWay, r.Requests)
	}
	if r.Requests != r.Completed+r.Expired+r.Cancelled+r.Open || r.Open < 0 {
		t.Errorf("%d requests, but %d completed, %d expired, %d cancelled and %d open", r.Requests, r.Completed, r.Expired, r.Cancelled, r.Open)
	}
	if r.Offers < r.Completed+r.Declined {
		t.Errorf("%d offers for %d completed trips and %d refusals", r.Offers, r.Completed, r.Declined)
	}
	if len(r.Waits) < r.Completed {
		t.Errorf("%d cars came, yet %d trips were completed", len(r.Waits), r.Completed)
	}
}

// inOrder checks that the city and the shared state agree on every driver.
func inOrder(t *testing.T, w *world) {
	t.Helper()
	if err := w.drivers.CheckInvariants(); err != nil {
		t.Fatalf("at %s: %v", w.now.Sub(epoch), err)
	}

	on := map[trips.TripID]trips.DriverID{}
	for _, c := range w.fleet {
		d, _ := w.drivers.Get(c.id)
		if works := d.Status == sharedstate.Offered || d.Trip != ""; works != c.busy {
			t.Fatalf("at %s: %s is %s with trip %q, yet busy is %v", w.now.Sub(epoch), c.id, d.Status, d.Trip, c.busy)
		}
		if wants := d.Status != "" && d.Status != sharedstate.NonOperational; wants != c.onShift {
			t.Fatalf("at %s: %s is %s, yet on duty is %v", w.now.Sub(epoch), c.id, d.Status, c.onShift)
		}
		if d.Trip == "" {
			continue
		}
		if other, twice := on[d.Trip]; twice {
			t.Fatalf("at %s: trip %s has the drivers %s and %s", w.now.Sub(epoch), d.Trip, other, c.id)
		}
		on[d.Trip] = c.id
	}
}

func both(t *testing.T, story func(t *testing.T, policy string)) {
	for _, policy := range []string{dispatch.GreedyPolicy, dispatch.BatchedPolicy, PatientPolicy} {
		t.Run(policy, func(t *testing.T) { story(t, policy) })
	}
}

func TestOneDriverServesTwoRidersOneAfterTheOther(t *testing.T) {
	both(t, func(t *testing.T, policy string) {
		w := town(t, policy, dispatch.Rules{GiveUpAfter: time.Hour}, 1)
		driver(w, 1000)
		rider(w, time.Minute, 2000, 4000)
		rider(w, 2*time.Minute, 4000, 5000)

		r := live(t, w)
		if r.Completed != 2 || r.Offers != 2 {
			t.Fatalf("%+v", r)
		}

		// 3 s to say yes and 100 s to drive; the second waits for the first's
		// 40 s of boarding and 200 s of ride as well
		near(t, "first wait", r.Waits[0], 103*time.Second)
		near(t, "second wait", r.Waits[1], 103*time.Second+40*time.Second+200*time.Second-time.Minute+3*time.Second)
		if r.EmptyKm < .99 || r.EmptyKm > 1.01 || r.LoadedKm < 2.99 || r.LoadedKm > 3.01 {
			t.Errorf("%.3f km empty and %.3f km with a rider, want 1 and 3", r.EmptyKm, r.LoadedKm)
		}
		near(t, "time with a rider", time.Duration(r.Utilisation*float64(time.Hour)), 300*time.Second)
	})
}

// near allows for the time until the policies search again.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < -2*time.Second || d > 4*time.Second {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestWhoDeclinesIsNotAskedAgainAndTheOtherDriverComes(t *testing.T) {
	both(t, func(t *testing.T, policy string) {
		w := town(t, policy, dispatch.Rules{}, 1)
		beside, further := driver(w, 2000), driver(w, 4000)
		asked := map[trips.DriverID]int{}
		w.decide = func(c *car, _ *ride, _ time.Duration) (offerAnswer, time.Duration) {
			if asked[c.id]++; c == beside {
				return answerDecline, 2 * time.Second
			}
			return answerAccept, 3 * time.Second
		}

		rider(w, time.Minute, 2000, 6000)
		r := live(t, w)
		if r.Completed != 1 || r.Declined != 1 || asked[beside.id] != 1 || asked[further.id] != 1 {
			t.Fatalf("asked %v: %+v", asked, r)
		}
	})
}

func TestAnOfferIsWithdrawnWhenTheRiderLeaves(t *testing.T) {
	both(t, func(t *testing.T, policy string) {
		w := town(t, policy, dispatch.Rules{}, 1)
		c := driver(w, 2000)
		w.decide = func(*car, *ride, time.Duration) (offerAnswer, time.Duration) { return answerSilence, 0 }
		leaves := rideDemand{from: at(2000), to: at(4000), patience: 5 * time.Second, maxPrice: 100}
		w.agenda.schedule(epoch.Add(time.Minute), func() { w.requestRide(leaves) })

		w.agenda.schedule(epoch.Add(time.Minute+6*time.Second), func() {
			if c.busy {
				t.Error("the driver still has the offer of a rider who left")
			}
		})

		if r := live(t, w); r.Cancelled != 1 || r.Completed != 0 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestARiderWhoseCarTakesTooLongLeavesAndTheDriverIsFree(t *testing.T) {
	both(t, func(t *testing.T, policy string) {
		w := town(t, policy, dispatch.Rules{}, 1)
		driver(w, 1000)
		leaves := rideDemand{from: at(4000), to: at(8000), patience: 2 * time.Minute, maxPrice: 100}
		w.agenda.schedule(epoch.Add(time.Minute), func() { w.requestRide(leaves) })
		rider(w, 4*time.Minute, 2000, 4000)
		r := live(t, w)
		if r.Cancelled != 1 || r.Completed != 1 || len(r.Waits) != 1 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestAShiftThatEndsOnATripEndsAfterIt(t *testing.T) {
	both(t, func(t *testing.T, policy string) {
		w := town(t, policy, dispatch.Rules{}, 9)
		c := driver(w, 1000)
		rider(w, shift-time.Minute, 1000, 11000)

		w.agenda.schedule(epoch.Add(shift+time.Minute), func() {
			if !c.onShift || !c.busy {
				t.Error("the driver went home with a rider in the car")
			}
		})

		w.agenda.schedule(epoch.Add(shift+20*time.Minute), func() {
			if c.onShift {
				t.Error("the driver did not go home after the trip")
			}
		})

		rider(w, shift+time.Hour, 11000, 1000) // no driver is on duty
		rider(w, shift+20*time.Minute+rest, 11000, 1000)
		if r := live(t, w); r.Completed != 2 || r.Expired != 1 {
			t.Fatalf("%+v", r)
		}
	})
}

// A pickup of a quarter of an hour is accepted after a wait of twenty minutes,
// at half a second of pickup per second of wait. From then on only riders who
// came at most half an hour later go first. Ten minutes are for the trips under
// way.
func TestNoRiderStarvesThoughNearerRidersKeepComing(t *testing.T) {
	w := town(t, dispatch.BatchedPolicy, dispatch.Rules{GiveUpAfter: 100 * time.Hour, MaxOffers: 1 << 30}, 5)
	for i := range 2 {
		driver(w, 1000+100*float64(i))
	}

	// Two drivers; a trip takes them three minutes, and one comes every minute
	// and a half: they just keep up.
	for i := range 100 {
		from, to := 1000.0, 2000.0
		if i%2 == 1 {
			from, to = to, from
		}
		rider(w, time.Duration(i)*90*time.Second, from, to)
	}

	rider(w, time.Minute, 10_000, 9000) // a quarter of an hour away
	r := live(t, w)
	if r.Completed < 95 {
		t.Fatalf("%d completed: %+v", r.Completed, r)
	}
	if longest := time.Hour; r.Waits[len(r.Waits)-1] > longest {
		t.Errorf("a rider waited %s, longer than %s", r.Waits[len(r.Waits)-1], longest)
	}
}

func TestWhoIsAskedForMoreThanTheyWantToPayWalks(t *testing.T) {
	w := town(t, dispatch.BatchedPolicy, dispatch.Rules{}, 1)
	w.cfg.Surge = true
	w.updatePrices()

	for i := range 60 { // and no driver at all
		dear := rideDemand{from: at(1000), to: at(5000), patience: time.Hour, maxPrice: 12}
		w.agenda.schedule(epoch.Add(time.Duration(i)*20*time.Second), func() { w.requestRide(dear) })
	}

	r := live(t, w)
	if r.PricedOut == 0 || r.Requests == 0 || r.SurgeMax <= 1.2 {
		t.Fatalf("%+v", r)
	}
}

func TestACityThatCannotBeSaysWhy(t *testing.T) {
	good := Config{City: street(t), Drivers: 1, RidersPerHour: 1, Hours: 1}
	for name, spoil := range map[string]func(*Config){
		"no city":   func(c *Config) { c.City = nil },
		"no driver": func(c *Config) { c.Drivers = 0 },
		"too many":  func(c *Config) { c.Drivers = 2_000_000 },
		"no riders": func(c *Config) { c.RidersPerHour = 0 },
		"no time":   func(c *Config) { c.Hours = 0 },
		"25:00":     func(c *Config) { c.Begin = 25 },
		"patience":  func(c *Config) { c.Weights.MaxPickup = -time.Second },
		"age":       func(c *Config) { c.Weights.WaitWeight = math.NaN() },
		"a policy":  func(c *Config) { c.Policy = "clever" },
	} {
		bad := good
		spoil(&bad)
		if _, err := Run(t.Context(), bad); !errors.Is(err, ErrConfig) || err.Error() == ErrConfig.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}

	if _, err := Run(t.Context(), good); err != nil {
		t.Error(err)
	}
}
