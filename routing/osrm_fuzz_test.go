package routing

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"testing"

	"github.com/ridehail/ridehail/location"
)

// answering is a server that answers every request with the same body.
type answering []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

// FuzzOSRMAnswer reads anything as the answers of an OSRM server. What is taken
// for an answer is one that a car can drive.
func FuzzOSRMAnswer(f *testing.F) {
	f.Add([]byte(`{"code":"Ok","routes":[{"distance":1500,"duration":120,"geometry":{"coordinates":[[3.4,6.45],[3.41,6.45]]},` +
		`"legs":[{"annotation":{"speed":[12.5]}}]}]}`))
	f.Add([]byte(`{"code":"Ok","durations":[[120,null]],"sources":[{"distance":3}]}`))
	f.Add([]byte(`{"code":"Ok","waypoints":[{"location":[3.4,6.45],"distance":2}]}`))
	f.Add([]byte(`{"code":"NoRoute","message":"Impossible route"}`))

	from, to := location.Point{Lng: 3.4, Lat: 6.45}, location.Point{Lng: 3.41, Lat: 6.45}
	f.Fuzz(func(t *testing.T, body []byte) {
		o := newOSRMBackend(&http.Client{Transport: answering(body)}, "http://osrm")

		if way, err := o.requestRoute(t.Context(), from, to); err == nil {
			for _, v := range way.Speeds {
				if !(v > 0 && v <= maxSpeed) {
					t.Errorf("a speed of %g m/s", v)
				}
			}
			if len(way.Path) < 2 || len(way.Speeds) != len(way.Path)-1 || way.Duration <= 0 || !(way.Metres >= 0) || math.IsInf(way.Metres, 0) {
				t.Errorf("route %+v", way)
			}
		}

		rows, err := o.requestMatrix(t.Context(), []location.Point{from}, []location.Point{from, to})
		if err == nil && (len(rows) != 1 || len(rows[0]) != 2 || rows[0][0] < 0 || rows[0][1] < 0) {
			t.Errorf("times %v", rows)
		}

		at, metres, err := o.requestSnap(t.Context(), from)
		if err == nil && (at.CheckRange() != nil || !(metres >= 0)) {
			t.Errorf("at %v, %g m", at, metres)
		}
	})
}
