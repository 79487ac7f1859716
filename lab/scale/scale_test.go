package scale

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// With the same drivers on each node, what a node receives must not grow with
// the number of nodes; told all, it would.
func TestTrafficOfANodeDoesNotGrowWithTheNodes(t *testing.T) {
	for _, routed := range []float64{0, .5, 1} {
		for n := 4; n <= 512; n *= 2 {
			w := DefaultWorld(n)
			w.Routed = routed
			few := Add(w, Measured)
			w.Nodes *= 2
			many := Add(w, Measured)
			if grown := many.NodeBytesOut / few.NodeBytesOut; grown > 1.2 {
				t.Errorf("%.0f %% routed: from %d to %d nodes a node receives %.2f times as much", 100*routed, n, 2*n, grown)
			}
			if grown := many.ToldAllBytesOut / few.ToldAllBytesOut; grown < 1.9 {
				t.Errorf("told all, from %d to %d nodes a node receives only %.2f times as much", n, 2*n, grown)
			}
		}
	}
}

func TestPhonesRoutedByRegionCrossLess(t *testing.T) {
	w := DefaultWorld(1000)
	anywhere := Add(w, Measured)
	w.Routed = 1
	routed := Add(w, Measured)
	if routed.NodeMessages >= anywhere.NodeMessages || routed.NodeBytesOut >= anywhere.NodeBytesOut {
		t.Errorf("routed by region a node receives %.0f messages and %.0f B, at random %.0f and %.0f",
			routed.NodeMessages, routed.NodeBytesOut, anywhere.NodeMessages, anywhere.NodeBytesOut)
	}
}

func TestOneNodeTellsNobodyOfCars(t *testing.T) {
	w := DefaultWorld(1)
	w.RidesPerHour = 0
	if s := Add(w, Measured); s.NodeMessages != 0 || s.NodeDrivers != float64(w.DriversPerNode) {
		t.Errorf("%.0f messages, %.0f drivers known", s.NodeMessages, s.NodeDrivers)
	}
}

// A limit is named exactly when one server bears no more.
func TestTheFirstLimitIsTheOneThatIsPassedMost(t *testing.T) {
	for _, c := range []struct {
		nodes int
		rides float64
		want  string
	}{{1, 1.5, ""}, {1000, 1.5, "one Redis"}, {20, 60, "one Postgres"}} {
		w := DefaultWorld(c.nodes)
		w.RidesPerHour = c.rides
		got := Add(w, Measured).FirstLimit
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%d nodes, %v rides an hour: %q, want %q", c.nodes, c.rides, got, c.want)
		}
	}
}

func TestAWorldThatCannotBeIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*World){
		"no nodes":            func(w *World) { w.Nodes = 0 },
		"no drivers":          func(w *World) { w.DriversPerNode = 0 },
		"more than all":       func(w *World) { w.OnTrip = 1.5 },
		"a negative share":    func(w *World) { w.Routed = -.1 },
		"a share that is NaN": func(w *World) { w.OnTrip = math.NaN() },
		"no fixes":            func(w *World) { w.FixesPerSecond = 0 },
		"endless rides":       func(w *World) { w.RidesPerHour = math.Inf(1) },
	} {
		w := DefaultWorld(10)
		spoil(&w)
		if err := w.Check(); !errors.Is(err, ErrWorld) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
