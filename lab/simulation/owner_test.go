package simulation

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
)

// overload is an hour of a small city with far too few drivers, where owners
// want the same drivers most.
func overload(t testing.TB) Config {
	return Config{City: builtInCity(t), Seed: 5, Drivers: 50, RidersPerHour: 150, Hours: 1, Begin: 17,
		Policy: dispatch.BatchedPolicy, OwnerOf: events.OwnerNumber}
}

// lossBound is the share of the completed trips that four owners may cost.
const lossBound = .04

func TestFourOwnersCompleteNearlyAsManyTripsAsOne(t *testing.T) {
	completed := map[string]int{}
	for name, change := range map[string]func(*Config){
		"one":        func(c *Config) { c.Owners = 1 },
		"four":       func(c *Config) { c.Owners = 4 },
		"four alone": func(c *Config) { c.Owners, c.Alone = 4, true },
	} {
		for seed := range uint64(3) {
			cfg := overload(t)
			cfg.Seed += seed
			change(&cfg)
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			completed[name] += r.Completed
			if cfg.Owners == 4 && (r.Owners != 4 || r.OfferShare <= 1) || cfg.Owners == 1 && (r.Refused != 0 || r.OfferShare != 1) {
				t.Errorf("%s: %d owners, %d offers refused, offers differ by %.2f", name, r.Owners, r.Refused, r.OfferShare)
			}
		}
	}

	t.Logf("completed: %v", completed)
	if loss := 1 - float64(completed["four"])/float64(completed["one"]); loss > lossBound {
		t.Errorf("four owners cost %.1f %% of the trips", 100*loss)
	}
	if completed["four alone"] >= completed["four"] {
		t.Error("it is worth nothing to know which trips wait elsewhere")
	}
}

func TestAnOwnerLearnsLaterWhatAnotherDoes(t *testing.T) {
	cfg := overload(t)
	cfg.Owners = 2
	w, err := newWorld(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	at := w.cfg.City.Hotspots()[0].Point
	c := w.addDriver(1, at, epoch.Add(-time.Minute))
	mine, other := w.owners[0], w.owners[1]
	sees := func(o *owner) bool { return len(o.Nearest(at, 5, 1000, nil)) == 1 }
	if !sees(mine) || !sees(other) {
		t.Fatal("a free car is not seen by both")
	}

	if err := w.drivers.Reserve(c.id, "h"); err != nil {
		t.Fatal(err)
	}
	c.busy = true
	w.changeHold(c, mine)
	if sees(mine) || !sees(other) {
		t.Error("a hold is known to the other owner at once, or not to its own")
	}
	if w.drivers.Reserve(c.id, "another") == nil {
		t.Error("the car is offered twice")
	}
	if w.now = w.now.Add(replicaLag); sees(mine) || sees(other) {
		t.Error("a hold is not known after the lag")
	}

	w.drivers.Release(c.id, "h")
	c.busy = false
	w.changeHold(c, mine)
	if !sees(mine) || sees(other) {
		t.Error("a car let go is known to the other owner at once, or not to its own")
	}
	if w.now = w.now.Add(replicaLag); !sees(mine) || !sees(other) {
		t.Error("a car let go is not known after the lag")
	}
}

func TestTooManyOwnersAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"none":         func(c *Config) { c.Owners = -1 },
		"nine":         func(c *Config) { c.Owners = maxOwners + 1 },
		"without rule": func(c *Config) { c.Owners, c.OwnerOf = 2, nil },
	} {
		cfg := overload(t)
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
