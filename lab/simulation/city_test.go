package simulation

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/routing"
)

func open(t testing.TB) *routing.City {
	t.Helper()
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}
	return city
}

// builtInCity is the generated city, made once for all tests.
func builtInCity(t testing.TB) *routing.City {
	once.Do(func() { shared = open(t) })
	return shared
}

var (
	once   sync.Once
	shared *routing.City
)

// busy is an evening in the built-in city with too few drivers.
func busy(t testing.TB) Config {
	return Config{City: builtInCity(t), Seed: 7, Drivers: 30, RidersPerHour: 120, Hours: 0.4, Begin: 17, Surge: true}
}

var everyPolicy = []string{dispatch.GreedyPolicy, dispatch.BatchedPolicy, PatientPolicy}

func TestTheSameSeedGivesTheSameBytesOnOneProcessorAndTwo(t *testing.T) {
	cfg := busy(t)
	told := func(processors int) []byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		r, err := Compare(t.Context(), cfg, Variants(everyPolicy, []int{1}), []uint64{1, 2}, processors, func(Result, time.Duration) {})
		if err != nil {
			t.Fatal(err)
		}

		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return append(text, r.Text()+r.SVG()...)
	}

	first := told(1)
	if second := told(2); !slices.Equal(first, second) {
		t.Errorf("the same seed gave\n%s\nand\n%s", first, second)
	}

	cfg.City = open(t)
	if third := told(2); !slices.Equal(first, third) {
		t.Error("another copy of the city gave other bytes")
	}
}

func TestAllPoliciesMeetTheSamePeople(t *testing.T) {
	cfg := busy(t)
	r, err := Compare(t.Context(), cfg, Variants(everyPolicy, []int{1}), []uint64{3}, 1, func(Result, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}

	want := r.Policies[0].Runs[0].Wishes
	for _, p := range r.Policies {
		if got := p.Runs[0].Wishes; got != want || got == 0 {
			t.Errorf("%s met %d people, %s %d", p.Policy, got, r.Policies[0].Policy, want)
		}
	}

	places := newPlaces(routing.NewRouter(cfg.City))
	other := cfg
	other.Policy, other.Drivers, other.Surge = dispatch.GreedyPolicy, 9, false
	if !slices.Equal(drawDemands(cfg, places), drawDemands(other, places)) {
		t.Error("who wants a ride hangs on more than the seed, the hours and the demand")
	}
	other.Seed++
	if slices.Equal(drawDemands(cfg, places), drawDemands(other, places)) {
		t.Error("another seed gave the same people")
	}
}

func TestABusyCityKeepsOrderAndLosesNoOne(t *testing.T) {
	for _, policy := range everyPolicy {
		t.Run(policy, func(t *testing.T) {
			cfg := busy(t)
			cfg.Policy = policy

			w, err := newWorld(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}

			w.hireDrivers()
			for _, wish := range drawDemands(cfg, w.places) {
				w.agenda.schedule(epoch.Add(wish.at), func() { w.requestRide(wish) })
			}

			events := 0
			w.onEvent = func() {
				if events++; events%5 == 0 { // each costs a look at everything
					inOrder(t, w)
				}
			}

			r := live(t, w)
			if r.Completed == 0 || r.Declined == 0 || r.Cancelled == 0 || r.Expired == 0 {
				t.Errorf("not a busy city: %+v", r)
			}
			if r.ByAir.Wrong < 0 || r.ByAir.Wrong > 1 || r.ByAir.Asked > r.Requests {
				t.Errorf("nearest by air: %+v", r.ByAir)
			}
			if r.Utilisation <= 0 || r.Utilisation > 1 {
				t.Errorf("utilisation %g", r.Utilisation)
			}
		})
	}
}

func TestDemandFollowsTheHoursOfTheDay(t *testing.T) {
	cfg := Config{City: builtInCity(t), Seed: 1, Drivers: 1, RidersPerHour: 500, Hours: 24}
	var perHour [24]int
	total := 0
	for _, w := range drawDemands(cfg, newPlaces(routing.NewRouter(cfg.City))) {
		perHour[int(w.at.Hours())]++
		total++
	}

	if mean := float64(total) / 24; mean < 450 || mean > 550 {
		t.Errorf("%.0f people an hour, want 500", mean)
	}
	if perHour[18] < 4*perHour[3] {
		t.Errorf("%d people at six in the evening and %d at three in the night", perHour[18], perHour[3])
	}
}

func TestACityStopsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, busy(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestTheReportSaysWhatItCompares(t *testing.T) {
	heard := 0
	r, err := Compare(t.Context(), busy(t), Variants([]string{dispatch.GreedyPolicy, dispatch.BatchedPolicy}, []int{1}), []uint64{1, 2}, 1,
		func(Result, time.Duration) { heard++ })
	if err != nil {
		t.Fatal(err)
	}
	if heard != 4 {
		t.Errorf("heard of %d runs, want 4", heard)
	}

	text := r.Text()
	for _, words := range []string{"seeds 1 to 2", "completed", "batched against greedy", "pickup wait p90"} {
		if !strings.Contains(text, words) {
			t.Errorf("the report does not say %q:\n%s", words, text)
		}
	}

	decoder := xml.NewDecoder(strings.NewReader(r.SVG()))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}

	a, b := r.Policies[0].Runs[1].Completed, r.Policies[1].Runs[1].Completed
	c, d := r.Policies[0].Runs[0].Completed, r.Policies[1].Runs[0].Completed
	if want := (float64(b)/float64(a) + float64(d)/float64(c)) / 2; want-1-r.Policies[1].Against["completed"].Mean > 1e-9 {
		t.Errorf("against: %+v, want %g", r.Policies[1].Against["completed"], want-1)
	}
}
