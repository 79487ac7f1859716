package webtest

import (
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/mvt"
	"github.com/paulmach/orb/geojson"
	"github.com/paulmach/orb/maptile"
)

// surgeHexagons returns three busy places and a calm one, which is not drawn.
func surgeHexagons() string {
	var features []string
	for i, m := range []float64{1.4, 2.2, 3, 1} {
		var ring [][2]float64
		for k := range 7 {
			a := float64(k%6) * math.Pi / 3
			ring = append(ring, pointAt(-1+1.05*float64(i)+0.6*math.Cos(a), 4+0.6*float64(i%2)+0.6*math.Sin(a)))
		}

		line, err := json.Marshal(ring)
		if err != nil {
			panic(err)
		}
		features = append(features, fmt.Sprintf(
			`{"type":"Feature","properties":{"multiplier":%g},"geometry":{"type":"Polygon","coordinates":[%s]}}`, m, line))
	}

	return fmt.Sprintf(`{"type":"FeatureCollection","features":[%s,%s,%s,%s]}`, features[0], features[1], features[2], features[3])
}

func withSurgePrices(f *fakeNode) { f.surge, f.priceHolds = surgeHexagons(), 10*time.Minute }

func TestBusyPlacesAreHexagonsAndTheirPriceSaysSo(t *testing.T) {
	for _, screen := range []Screen{Desktop, Phone} {
		t.Run(screen.Name, func(t *testing.T) {
			f := newFakeNode(t, withSurgePrices)
			tab := OpenTab(browserContext(t), t, f.URL, screen)
			tab.WaitUntil(`document.body.dataset.surge === "3" && !document.getElementById("surge").hidden`, 45*time.Second)
			tab.WaitUntil(`document.getElementById("surge").innerText.includes("×3.0")`, 5*time.Second)
			tab.WaitUntil(`window.ridehail.map.queryRenderedFeatures({ layers: ["surge"] }).length >= 3`, 20*time.Second)
			tab.WaitUntil(`document.getElementById("thanks").textContent === "© Fake"`, 5*time.Second)
			tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, 20*time.Second)
			tab.waitForCamera()
			tab.Screenshot("14-surge")
			tab.choosePlaces()
			tab.WaitUntil(`document.getElementById("busy").textContent === "×1.4 busy here"`, 5*time.Second)
			tab.WaitUntil(`/^price holds for [0-9]:[0-5][0-9]$/.test(document.getElementById("price-holds").textContent)`, 5*time.Second)
			tab.Screenshot("15-busy-quote")
			tab.Click("#request")
			tab.waitForState("reserved", 20*time.Second)
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.sentQuotes) != 1 || f.sentQuotes[0] != fmt.Sprintf("quote-%d", f.quotes) && f.quotes == 1 {
				t.Errorf("the request came with the quotes %q", f.sentQuotes)
			}

			tab.CheckClean()
		})
	}
}

func TestAnExpiredPriceIsConfirmedAnewAndNotChargedSilently(t *testing.T) {
	f := newFakeNode(t, withSurgePrices, func(f *fakeNode) { f.expired, f.holdDriver = 1, true })
	tab := OpenTab(browserContext(t), t, f.URL, Desktop)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, 45*time.Second)
	tab.choosePlaces()
	before := evalInPage[string](tab, `document.getElementById("price").textContent`)
	tab.Click("#request")
	tab.WaitUntil(`document.getElementById("new-price") !== null && document.body.dataset.state === "quoted"`, 20*time.Second)

	note := evalInPage[string](tab, `document.getElementById("new-price").textContent`)
	after := evalInPage[string](tab, `document.getElementById("price").textContent`)
	if want := "The price was " + before + " and no longer held. Please confirm the new one."; note != want || after == before {
		t.Errorf("%q, and the price %s became %s", note, before, after)
	}

	tab.Screenshot("16-new-price")
	f.mu.Lock()
	if f.requests != 0 || len(f.sentQuotes) != 1 {
		t.Errorf("%d trips, quotes %q, before the rider confirmed", f.requests, f.sentQuotes)
	}
	f.mu.Unlock()

	tab.Click("#request")
	tab.waitForState("reserved", 20*time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests != 1 || len(f.sentQuotes) != 2 || f.sentQuotes[0] == f.sentQuotes[1] {
		t.Errorf("%d trips, quotes %q", f.requests, f.sentQuotes)
	}

	tab.CheckClean()
}

func TestAPriceThatRunsOutWhileNobodyConfirmsIsAskedForAnew(t *testing.T) {
	f := newFakeNode(t, withSurgePrices)
	tab := OpenTab(browserContext(t), t, f.URL, Phone)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, 45*time.Second)
	tab.choosePlaces()
	evalInPage[bool](tab, `(window.ridehail.ride.quote.endsMs = Date.now() - 1, true)`)
	tab.WaitUntil(`document.getElementById("new-price") !== null`, 30*time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quotes < 2 || len(f.sentQuotes) != 0 {
		t.Errorf("%d quotes were asked for, %q sent", f.quotes, f.sentQuotes)
	}

	tab.CheckClean()
}

func TestABigCityIsDrawnFromItsTiles(t *testing.T) {
	var asked atomic.Int64
	city, err := geojson.UnmarshalFeatureCollection(fakeCity())
	if err != nil {
		t.Fatal(err)
	}

	f := newFakeNode(t, func(f *fakeNode) {
		f.city = nil
		f.plan = `{"name":"Big","bounds":[3.34,6.42,3.45,6.51],"geojson":"/v1/city","tiles":{"url":"/v1/tiles/{z}/{x}/{y}?v=1","minzoom":8,"maxzoom":14}}`
		f.tile = func(z, x, y string) []byte {
			asked.Add(1)
			return fakeTile(city, z, x, y)
		}
	})

	tab := OpenTab(browserContext(t), t, f.URL, Desktop)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, 45*time.Second)
	tab.WaitUntil(`["land", "street", "motorway", "district-name"].every((id) =>
		window.ridehail.map.queryRenderedFeatures({ layers: [id] }).length > 0)`, 30*time.Second)
	tab.waitForCamera()
	tab.Screenshot("17-tiles")
	tab.choosePlaces()
	tab.WaitUntil(`/Palm Grove|Old Market|Marina/.test(document.getElementById("choose-pickup").textContent)`, 5*time.Second)
	if asked.Load() == 0 {
		t.Error("no tile was asked for")
	}

	tab.CheckClean()
}

// fakeTile cuts a tile out of a city.
func fakeTile(city *geojson.FeatureCollection, z, x, y string) []byte {
	var zoom, column, row uint32
	if _, err := fmt.Sscan(z+" "+x+" "+y, &zoom, &column, &row); err != nil {
		panic(err)
	}

	byKind := map[string]*geojson.FeatureCollection{}
	for _, f := range city.Features {
		kind := f.Properties.MustString("kind")
		if byKind[kind] == nil {
			byKind[kind] = geojson.NewFeatureCollection()
		}
		g := geojson.NewFeature(orb.Clone(f.Geometry))
		g.Properties = f.Properties
		byKind[kind].Append(g)
	}

	layers := mvt.NewLayers(byKind)
	layers.ProjectToTile(maptile.New(column, row, maptile.Zoom(zoom)))
	layers.Clip(mvt.MapboxGLDefaultExtentBound)
	layers.RemoveEmpty(0, 0)

	tile, err := mvt.Marshal(layers)
	if err != nil {
		panic(err)
	}

	return tile
}
