package httpapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// cityMap is what a page needs to draw the city, and a simulator to check that
// it simulates the same one.
type cityMap struct {
	Name        string     `json:"name"`
	Attribution string     `json:"attribution,omitempty"`
	Bounds      [4]float64 `json:"bounds"` // west, south, east, north
	GeoJSON     string     `json:"geojson"`
	// TimeScale is the seconds of the city in a second: 1 in a real one.
	TimeScale float64 `json:"time_scale"`
	// Tiles is absent when the GeoJSON is small enough to be fetched at once.
	Tiles *tileMap `json:"tiles,omitempty"`
}

type tileMap struct {
	URL     string `json:"url"`
	MinZoom uint32 `json:"minzoom"`
	MaxZoom uint32 `json:"maxzoom"`
}

// cityDrawing is a city as it is sent. It is made when it is first asked for.
type cityDrawing struct {
	city      City
	geoJSON   func() geoJSON
	tileSlots chan struct{} // bounds the tiles made at once: no token is needed
}

type geoJSON struct {
	plain, zipped []byte
	tag           string
}

func newCityDrawing(city City) *cityDrawing {
	d := &cityDrawing{city: city, tileSlots: make(chan struct{}, 2)}
	d.geoJSON = sync.OnceValue(func() geoJSON {
		plain := city.GeoJSON()
		var zipped bytes.Buffer
		zw := gzip.NewWriter(&zipped)
		_, _ = zw.Write(plain) // a buffer takes everything
		_ = zw.Close()
		return geoJSON{plain, zipped.Bytes(), tagOf(plain)}
	})
	return d
}

func tagOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// getGeoJSON serves the whole city, compressed once, with an ETag so that a
// page that has it downloads nothing.
func (d *cityDrawing) getGeoJSON(w http.ResponseWriter, r *http.Request) {
	p, h := d.geoJSON(), w.Header()
	h.Set("Content-Type", "application/geo+json")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")

	body, etag := p.plain, `"`+p.tag+`"`
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body, etag = p.zipped, `"`+p.tag+`-gz"`
	}
	h.Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// getMap serves how to draw the city.
func (a *API) getMap(d *cityDrawing) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		lo, hi := d.city.Bounds()
		m := cityMap{Name: d.city.Name(), Attribution: d.city.Attribution(), GeoJSON: "/v1/city",
			TimeScale: cmp.Or(a.cfg.TimeScale, 1), Bounds: [4]float64{lo.Lng, lo.Lat, hi.Lng, hi.Lat}}
		if d.city.Tiled() {
			from, to := d.city.TileZooms()
			m.Tiles = &tileMap{URL: "/v1/tiles/{z}/{x}/{y}?v=" + d.geoJSON().tag, MinZoom: from, MaxZoom: to}
		}
		w.Header().Set("Cache-Control", "no-cache")
		a.writeJSON(w, http.StatusOK, m)
	}
}

// getTile serves a vector tile. Its address names the version of the city, so
// that a page may keep it.
func (a *API) getTile(d *cityDrawing) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		at, err := tileAddress(r)
		if err != nil {
			writeError(w, err)
			return
		}

		select {
		case d.tileSlots <- struct{}{}:
			defer func() { <-d.tileSlots }()
		case <-r.Context().Done():
			return
		}

		body, err := d.city.Tile(at[0], at[1], at[2])
		switch {
		case errors.Is(err, routing.ErrNoTile):
			problem.Write(w, wire.CodeNotFound, http.StatusNotFound, "There is no such tile; GET /v1/map tells the zooms.")
			return
		case err != nil:
			a.cfg.Log.Error("a tile of the map cannot be made", "zoom", at[0], "column", at[1], "row", at[2], "err", err)
			problem.Write(w, wire.CodeInternal, http.StatusInternalServerError, "This part of the map cannot be drawn.")
			return
		}

		d.writeTile(w, r, body)
	}
}

// tileAddress reads a tile's zoom, column and row.
func tileAddress(r *http.Request) (at [3]uint32, err error) {
	for i, name := range [...]string{"z", "x", "y"} {
		n, err := strconv.ParseUint(r.PathValue(name), 10, 32)
		if err != nil {
			return at, translate.Refuse(wire.CodeBadField, "A tile is /v1/tiles/ZOOM/COLUMN/ROW, in whole numbers.")
		}
		at[i] = uint32(n)
	}
	return at, nil
}

func (d *cityDrawing) writeTile(w http.ResponseWriter, r *http.Request, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	if v := r.URL.Query().Get("v"); v != "" && v == d.geoJSON().tag {
		h.Set("Cache-Control", "public, max-age=86400")
	}
	if len(body) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}

	h.Set("Content-Type", "application/vnd.mapbox-vector-tile")
	h.Set("Content-Encoding", "gzip")
	h.Set("ETag", `"`+tagOf(body)+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
