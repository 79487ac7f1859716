package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators"
)

// recordDrive writes a table of two vans that drive through the city, with a
// fix a second for half a minute, and one unreadable row.
func recordDrive(t *testing.T) (file string, begin location.Point) {
	t.Helper()
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}
	begin = city.RandomPoint(rand.New(rand.NewPCG(1, 2)))
	var text strings.Builder
	text.WriteString("time,id,lat,lon\n2024-05-01T07:59:00Z,van-1,north,3\n")

	for i := range 30 {
		at := time.Date(2024, 5, 1, 8, 0, i, 0, time.UTC).Format(time.RFC3339)
		for van := 1; van <= 2; van++ {
			fmt.Fprintf(&text, "%s,van-%d,%.6f,%.6f\n", at, van, begin.Lat+0.00005*float64(i*van), begin.Lng)
		}
	}

	file = filepath.Join(t.TempDir(), "morning.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	return file, begin
}

func TestARecordedDriveMovesCarsThatRidersSee(t *testing.T) {
	slowtest.Require(t)
	t.Parallel()
	file, begin := recordDrive(t)
	url := "http://" + freeAddress(t)
	node := start(t, "serve", "--listen", strings.TrimPrefix(url, "http://"), "--admin", freeAddress(t), "--dev-tokens",
		"--database", filepath.Join(t.TempDir(), "r.db"))
	awaitReady(t, node, url)
	replay := start(t, "drivers", "--server", url, "--replay", file, "--json")
	rider := token(t, url, "rider", "r-1")
	seen := map[string]map[float64]bool{"van-1": {}, "van-2": {}} // latitudes
	for len(seen["van-1"]) < 2 || len(seen["van-2"]) < 2 {
		for id, lat := range nearbyLatitudes(t, url, rider, begin) {
			if seen[id] == nil {
				t.Fatalf("%s was never recorded", id)
			}
			seen[id][lat] = true
		}

		select {
		case <-replay.ended:
			t.Fatalf("the replay ended with %d, and riders saw %v", replay.code, seen)
		case <-time.After(100 * time.Millisecond):
		}
	}

	if code := replay.wait(t); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	var s simulators.Snapshot
	if err := json.Unmarshal([]byte(replay.out.String()), &s); err != nil {
		t.Fatal(err, replay.out.String())
	}
	if s.FixesSent < 4 || s.FixesSent > 60 || s.Trace == nil || s.Trace.Fixes != 60 || s.Trace.BadRows != 1 || s.Trace.Cars != 2 {
		t.Errorf("%+v, trace %+v", s, s.Trace)
	}
	if logs := replay.logs.String(); !strings.Contains(logs, "line 2: a place that is no number") {
		t.Errorf("the bad row is not named: %s", logs)
	}
}

// nearbyLatitudes returns the latitudes of the cars that a rider sees.
func nearbyLatitudes(t *testing.T, url, token string, p location.Point) map[string]float64 {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/v1/nearby?lng=%f&lat=%f", url, p.Lng, p.Lat), nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	var answer struct {
		Cars []struct {
			ID    string
			Point struct{ Lat float64 }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}

	cars := map[string]float64{}
	for _, c := range answer.Cars {
		cars[c.ID] = c.Point.Lat
	}

	return cars
}

func TestAReplayOfNothingSaysWhatIsWrongWithTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes.csv")
	if err := os.WriteFile(file, []byte("dear diary\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, f := range []string{file, file + ".missing"} {
		p := start(t, "drivers", "--replay", f)
		if code := p.wait(t); code != exitUsage || !strings.Contains(p.logs.String(), "--replay") {
			t.Errorf("%s: exit %d, %s", f, code, p.logs.String())
		}
	}
}
