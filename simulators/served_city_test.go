package simulators

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/routing"
)

// mapOf is what a node that serves a city at a speed answers to /v1/map.
func mapOf(city *routing.City, more string) string {
	lo, hi := city.Bounds()
	return fmt.Sprintf(`{"name":%q,"bounds":[%v,%v,%v,%v]%s}`, city.Name(), lo.Lng, lo.Lat, hi.Lng, hi.Lat, more)
}

func TestSimulatorsTakeTheNodesSpeedAndRefuseAnother(t *testing.T) {
	other, err := routing.Open("8")
	if err != nil {
		t.Fatal(err)
	}

	five, earlier, none := mapOf(testCity(), `,"time_scale":5`), mapOf(testCity(), ""), ""
	for name, c := range map[string]struct {
		maps  []string
		speed float64
		want  float64
		says  string // of the error; "" for none
	}{
		"the node's":                {maps: []string{five}, want: 5},
		"the same":                  {maps: []string{five}, speed: 5, want: 5},
		"another one":               {maps: []string{five}, speed: 1, says: "runs 5 times real time; leave --speed out or start the node with --speed 1"},
		"faster than real time":     {maps: []string{mapOf(testCity(), `,"time_scale":1`)}, speed: 2.5, says: "runs in real time; leave --speed out or start the node with --speed 2.5"},
		"a node of an older build":  {maps: []string{earlier}, want: 1},
		"an older build, asked":     {maps: []string{earlier}, speed: 10, want: 10},
		"no map at all":             {maps: []string{none}, speed: 3, want: 3},
		"the second node's":         {maps: []string{earlier, five}, want: 5},
		"two nodes differ":          {maps: []string{five, mapOf(testCity(), `,"time_scale":2`)}, says: "start all with the same --speed"},
		"no answer, then an answer": {maps: []string{"not JSON", five}, want: 5},
		"another city":              {maps: []string{mapOf(other, `,"time_scale":5`)}, says: "give the --city that the node was started with"},
		"another city, older build": {maps: []string{mapOf(other, "")}, says: "--city 7 is"},
	} {
		t.Run(name, func(t *testing.T) {
			var servers []string
			for _, m := range c.maps {
				n := newFakeNode(t, driverScript(1500))
				n.cityMap = m
				servers = append(servers, n.URL)
			}

			got, err := newNetwork(strings.Join(servers, ","), nil, NewStats(), nil).agreeOnCity(t.Context(), testCity(), c.speed)
			if got != c.want || (err != nil) != (c.says != "") {
				t.Fatalf("%g, %v", got, err)
			}
			if err != nil && (!errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), c.says)) {
				t.Error(err)
			}
		})
	}
}

func TestEverySimulatorRefusesANodeOfAnotherSpeedBeforeAPhoneConnects(t *testing.T) {
	n := newFakeNode(t, driverScript(1500))
	n.cityMap = mapOf(testCity(), `,"time_scale":5`)

	for name, run := range map[string]func(context.Context) error{
		"drivers": func(ctx context.Context) error {
			return RunDrivers(ctx, DriverConfig{Server: n.URL, City: testCity(), Count: 1, Speed: 1})
		},
		"riders": func(ctx context.Context) error {
			return RunRiders(ctx, RiderConfig{Server: n.URL, City: testCity(), Count: 1, Speed: 1})
		},
		"replay": func(ctx context.Context) error {
			return ReplayDrivers(ctx, ReplayConfig{Server: n.URL, City: testCity(), Trace: newRecording(t, 1, 2), Speed: 1})
		},
	} {
		if err := run(t.Context()); !errors.Is(err, ErrMismatch) || len(n.conns) != 0 {
			t.Errorf("%s: %v, %d connections", name, err, len(n.conns))
		}
	}
}

func TestCarsDriveAtTheNodesSpeed(t *testing.T) {
	n := newFakeNode(t, driverScript(1500))
	n.cityMap = mapOf(testCity(), `,"time_scale":200`)
	stop := startDrivers(t, n, DriverConfig{Rate: 50, Decline: -1})
	// At real time this ride of 1.5 km would take minutes.
	n.waitUntil("the trip completes", func() bool { return len(n.stepsLocked()) == 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}
