package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// fakeCity has tiles at zooms 8 to 16: one that is drawn, one that is empty and
// one that cannot be made.
type fakeCity struct{ tiled bool }

func (fakeCity) Name() string        { return "Monaco" }
func (fakeCity) Attribution() string { return "© OpenStreetMap contributors" }
func (fakeCity) GeoJSON() []byte     { return []byte(`{"type":"FeatureCollection","features":[]}`) }
func (c fakeCity) Tiled() bool       { return c.tiled }
func (fakeCity) TileZooms() (min, max uint32) {
	return 8, 16
}

func (fakeCity) Bounds() (min, max location.Point) {
	return location.Point{Lng: 7.4, Lat: 43.7}, location.Point{Lng: 7.5, Lat: 43.8}
}

func (fakeCity) Tile(z, x, y uint32) ([]byte, error) {
	switch {
	case z < 8 || z > 16:
		return nil, routing.ErrNoTile
	case x == 1:
		return nil, nil
	case x == 2:
		return nil, errors.New("broken in a way that is our secret")
	}

	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte("a tile"))
	_ = w.Close()
	return b.Bytes(), nil
}

func TestAPageIsToldHowToDrawTheCity(t *testing.T) {
	small := decodeAnswer[cityMap](t, newTestAPI(t, nil).callAPI(trips.Actor{}, "GET", "/v1/map", ""), 200)
	if small.Name != "Monaco" || small.Attribution != "© OpenStreetMap contributors" || small.GeoJSON != "/v1/city" ||
		small.Bounds != [4]float64{7.4, 43.7, 7.5, 43.8} || small.Tiles != nil || small.TimeScale != 1 {
		t.Errorf("%+v", small)
	}

	big := decodeAnswer[cityMap](t, newTestAPI(t, func(c *Config, _ *booking.Config) { c.City, c.TimeScale = fakeCity{tiled: true}, 5 }).callAPI(trips.Actor{}, "GET", "/v1/map", ""), 200)
	if big.TimeScale != 5 || big.Tiles == nil || big.Tiles.MinZoom != 8 || big.Tiles.MaxZoom != 16 {
		t.Errorf("%+v", big)
	}
}

func TestTilesAreSentOnceAndBadOnesRefusedInWords(t *testing.T) {
	r := newTestAPI(t, nil)
	w := r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/0/7", "")
	zr, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(w.Code, err)
	}

	if body, err := io.ReadAll(zr); w.Code != 200 || string(body) != "a tile" || err != nil ||
		w.Header().Get("Content-Type") != "application/vnd.mapbox-vector-tile" || w.Header().Get("Content-Encoding") != "gzip" ||
		w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %v %q %v", w.Code, w.Header(), body, err)
	}

	if again := r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/0/7", "", "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("again: %d", again.Code)
	}

	kept := r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/0/7?v="+tagOf(fakeCity{}.GeoJSON()), "")
	if kept.Header().Get("Cache-Control") != "public, max-age=86400" {
		t.Errorf("a tile of this version may be kept: %v", kept.Header())
	}
	if empty := r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/1/7", ""); empty.Code != http.StatusNoContent || empty.Body.Len() != 0 {
		t.Errorf("nothing drawn: %d", empty.Code)
	}

	wantProblem(t, r.callAPI(trips.Actor{}, "GET", "/v1/tiles/7/0/0", ""), 404, wire.CodeNotFound)
	for _, path := range []string{"/v1/tiles/a/0/0", "/v1/tiles/12/-1/0", "/v1/tiles/12/0/4294967296", "/v1/tiles/12/0/0.mvt", "/v1/tiles/12/0/NaN"} {
		wantProblem(t, r.callAPI(trips.Actor{}, "GET", path, ""), 400, wire.CodeBadField)
	}
	wantProblem(t, r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/2/0", ""), 500, wire.CodeInternal)
	wantProblem(t, r.callAPI(trips.Actor{}, "GET", "/v1/tiles/12/0", ""), 404, wire.CodeNoSuchEndpoint)
	wantProblem(t, r.callAPI(trips.Actor{}, "POST", "/v1/tiles/12/0/0", ""), 405, wire.CodeMethod)
}
