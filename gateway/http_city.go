package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// City is what a page needs to draw a city: whole as GeoJSON, or in vector tiles if that is too big.
type City interface {
	Name() string
	Attribution() string // whom to thank for the data; may be empty
	Bounds() (min, max location.Point)
	GeoJSON() []byte
	Tiled() bool
	TileZooms() (min, max uint32)
	Tile(z, x, y uint32) ([]byte, error) // gzipped; empty where nothing is drawn; routing.ErrNoTile
}

// cityMap tells a page how to draw the city.
type cityMap struct {
	Name        string     `json:"name"`
	Attribution string     `json:"attribution,omitempty"`
	Bounds      [4]float64 `json:"bounds"` // west, south, east, north
	GeoJSON     string     `json:"geojson"`
	Tiles       *tileMap   `json:"tiles,omitempty"` // absent when the GeoJSON is small enough to be fetched at once
}

type tileMap struct {
	URL     string `json:"url"`
	MinZoom uint32 `json:"minzoom"`
	MaxZoom uint32 `json:"maxzoom"`
}

// drawing is a city as it is sent. It is made when it is first asked for.
type drawing struct {
	city   City
	packed func() packed
	making chan struct{} // bounds the tiles made at once: anybody may ask
}

type packed struct {
	plain, zipped []byte
	tag           string
}

func newDrawing(city City) *drawing {
	d := &drawing{city: city, making: make(chan struct{}, 2)}
	d.packed = sync.OnceValue(func() packed {
		plain := city.GeoJSON()
		var zipped bytes.Buffer
		zw := gzip.NewWriter(&zipped)
		_, _ = zw.Write(plain) // a buffer takes everything
		_ = zw.Close()
		return packed{plain, zipped.Bytes(), tagOf(plain)}
	})
	return d
}

func tagOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// whole serves the city's GeoJSON, compressed once, with an ETag so that a page that has it asks cheaply.
func (d *drawing) whole(w http.ResponseWriter, r *http.Request) {
	p, h := d.packed(), w.Header()
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

// plan serves how to draw the city.
func (g *door) plan(d *drawing) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		lo, hi := d.city.Bounds()
		m := cityMap{Name: d.city.Name(), Attribution: d.city.Attribution(), GeoJSON: "/v1/city",
			Bounds: [4]float64{lo.Lng, lo.Lat, hi.Lng, hi.Lat}}
		if d.city.Tiled() {
			from, to := d.city.TileZooms()
			m.Tiles = &tileMap{URL: "/v1/tiles/{z}/{x}/{y}?v=" + d.packed().tag, MinZoom: from, MaxZoom: to}
		}
		w.Header().Set("Cache-Control", "no-cache")
		writeJSON(w, http.StatusOK, m, g.cfg.Log)
	}
}

// tile serves a vector tile. Its address names the version of the city, so that a page may keep it.
func (g *door) tile(d *drawing) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var at [3]uint32
		for i, name := range [...]string{"z", "x", "y"} {
			n, err := strconv.ParseUint(r.PathValue(name), 10, 32)
			if err != nil {
				writeProblem(w, wire.CodeBadField, http.StatusBadRequest, "A tile is /v1/tiles/ZOOM/COLUMN/ROW, in whole numbers.")
				return
			}
			at[i] = uint32(n)
		}
		select {
		case d.making <- struct{}{}:
			defer func() { <-d.making }()
		case <-r.Context().Done():
			return
		}
		body, err := d.city.Tile(at[0], at[1], at[2])
		switch {
		case errors.Is(err, routing.ErrNoTile):
			writeProblem(w, wire.CodeNotFound, http.StatusNotFound, "There is no such tile; GET /v1/map tells the zooms.")
			return
		case err != nil:
			g.cfg.Log.Error("a tile of the map cannot be made", "zoom", at[0], "column", at[1], "row", at[2], "err", err)
			writeProblem(w, wire.CodeInternal, http.StatusInternalServerError, "This part of the map cannot be drawn.")
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		if v := r.URL.Query().Get("v"); v != "" && v == d.packed().tag {
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
}
