package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/ridehail/ridehail/pricing"
)

// surgeCache is how long an answer of getSurge may be kept: prices change every
// ten seconds.
const surgeCache = "public, max-age=5"

// surgeMap is GeoJSON.
type surgeMap struct {
	Type     string      `json:"type"`
	Features []surgeZone `json:"features"`
}

type surgeZone struct {
	Type     string `json:"type"`
	ID       string `json:"id"` // the H3 cell
	Geometry struct {
		Type        string         `json:"type"`
		Coordinates [][][2]float64 `json:"coordinates"`
	} `json:"geometry"`
	Properties struct {
		Multiplier float64 `json:"multiplier"`
		Demand     float64 `json:"demand"` // requests a minute, smoothed
		Supply     float64 `json:"supply"` // free drivers, smoothed
	} `json:"properties"`
}

// getSurge serves the zones that are dearer just now.
func (a *API) getSurge(w http.ResponseWriter, _ *http.Request) {
	out := surgeMap{"FeatureCollection", []surgeZone{}}
	for _, z := range a.cfg.Booking.Surge().RaisedZones() {
		if f, err := drawZone(z); err == nil { // always, for a cell of a point
			out.Features = append(out.Features, f)
		}
	}

	data, err := json.Marshal(out)
	if err != nil {
		writeError(w, err)
		return
	}

	w.Header().Set("Content-Type", "application/geo+json")
	w.Header().Set("Cache-Control", surgeCache)
	_, _ = w.Write(data) // the client may be gone
}

func drawZone(z pricing.Zone) (f surgeZone, err error) {
	corners, err := z.Cell.Boundary()
	if err != nil {
		return f, err
	}

	ring := make([][2]float64, 0, len(corners)+1)
	for _, p := range corners {
		ring = append(ring, [2]float64{p.Lng, p.Lat})
	}

	f.Type, f.ID = "Feature", z.Cell.String()
	f.Geometry.Type, f.Geometry.Coordinates = "Polygon", [][][2]float64{append(ring, ring[0])}
	f.Properties.Multiplier, f.Properties.Demand, f.Properties.Supply = z.Multiplier.Factor(), z.Demand, z.Supply
	return f, nil
}
