package extract

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/paulmach/osm"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ridehail/ridehail/routing"
)

func read(t testing.TB, path string) (routing.Plan, Report) {
	t.Helper()
	plan, report, err := Read(context.Background(), path, Options{Name: "Town"})
	if err != nil {
		t.Fatal(err)
	}
	return plan, report
}

func TestAnExtractIsTheSameCityInEveryFormat(t *testing.T) {
	want, report := read(t, file(t, "town.osm", crossing().xml()))
	wantReport := Report{Ways: 10, Roads: 5, Areas: 2, Districts: 1, Hotspots: 2, MissingNodes: 1, Barriers: 1, Restrictions: 1}
	if report != wantReport {
		t.Errorf("read %+v,\nwant %+v", report, wantReport)
	}

	for name, data := range map[string][]byte{
		"town.osm.gz": zipped(crossing().xml()), "town.osm.pbf": crossing().pbf(true), "plain.osm.pbf": crossing().pbf(false),
		"misnamed.osm": crossing().pbf(true),
	} {
		plan, r := read(t, file(t, name, data))
		if r != report || !bytes.Equal(saved(t, plan), saved(t, want)) {
			t.Errorf("%s: %+v and %+v, want %+v and %+v", name, r, plan, report, want)
		}
	}

	city := cityOf(t, want)
	kept := city.Kept()
	if kept.Junctions >= kept.OfJunctions || kept.LostRoads != 2 || kept.Metres >= kept.OfMetres {
		t.Errorf("kept %+v", kept)
	}
	if city.Attribution() != Attribution || !bytes.Contains(city.GeoJSON(), []byte("OpenStreetMap contributors")) {
		t.Error("nobody says whose data it is")
	}
}

func cityOf(t testing.TB, plan routing.Plan) *routing.City {
	t.Helper()
	city, err := routing.NewCity(plan)
	if err != nil {
		t.Fatal(err)
	}
	return city
}

// saved is the city's file, in which coordinates are rounded.
func saved(t testing.TB, plan routing.Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := cityOf(t, plan).Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatAnExtractSaysBecomesRoadsAreasAndPlaces(t *testing.T) {
	plan, _ := read(t, file(t, "town.osm", crossing().xml()))
	ring := plan.Roads[0]
	if ring.Name != "Ring" || ring.Class != routing.Street || ring.OneWay || math.Abs(ring.Speed-30*keptShare/3.6) > 1e-9 {
		t.Errorf("ring %+v", ring)
	}

	var names []string
	for _, r := range plan.Roads {
		names = append(names, r.Name)
	}
	if len(plan.Roads) != 5 || names[3] != "D1" || !plan.Roads[3].OneWay || plan.Roads[3].Class != routing.Arterial {
		t.Errorf("%d roads %q: the service road is cut in two at its bollard", len(plan.Roads), names)
	}
	if a, b := plan.Roads[1], plan.Roads[2]; a.Points[1] == b.Points[0] {
		t.Error("cars get through the bollard")
	}

	lake := plan.Areas[len(plan.Areas)-1]
	if lake.Kind != routing.Water || lake.Name != "Lac" || len(lake.Rings) != 2 || len(lake.Rings[0]) != 5 || len(lake.Rings[1]) != 4 {
		t.Errorf("the lake of two halves and its island: %+v", lake)
	}
	if plan.Areas[0].Kind != routing.Land || plan.Areas[1].Kind != routing.Park {
		t.Errorf("%+v", plan.Areas)
	}
	if len(plan.Districts) != 1 || plan.Districts[0].Name != "Lac & Jardin" {
		t.Errorf("%+v", plan.Districts)
	}
	if h := plan.Hotspots; len(h) != 2 || h[0].Name != "Gare" || h[0].Weight != 13 || h[1].Name != "Grand" {
		t.Errorf("the station and the café beside it are one place, and come first: %+v", h)
	}
}

func TestTagsSayWhoMayDriveWhereAndHowFast(t *testing.T) {
	road := func(pairs ...string) osm.Tags {
		out := osm.Tags{{Key: "highway", Value: "residential"}}
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			if k == "highway" {
				out = out[:0]
			}
			out = append(out, osm.Tag{Key: k, Value: v})
		}
		return out
	}

	for tags, want := range map[string]struct {
		open, oneWay, against bool
		kmh                   float64
	}{
		"":                            {true, false, false, 25},
		"maxspeed=50":                 {true, false, false, 40},
		"maxspeed=30 mph":             {true, false, false, 30 * mile * .8},
		"maxspeed=FR:urban":           {true, false, false, 40},
		"maxspeed=fr:rural":           {true, false, false, 64},
		"maxspeed=XX:rural":           {true, false, false, 72},
		"maxspeed=DE:zone:30":         {true, false, false, 25},
		"maxspeed=DE:zone30":          {true, false, false, 24},
		"maxspeed=walk":               {true, false, false, 7 * .8},
		"maxspeed=fast":               {true, false, false, 25},
		"maxspeed=-5":                 {true, false, false, 25},
		"maxspeed=NaN":                {true, false, false, 25},
		"maxspeed=1e300":              {true, false, false, 25},
		"maxspeed=50;30":              {true, false, false, 40},
		"oneway=yes":                  {true, true, false, 25},
		"oneway=-1":                   {true, true, true, 25},
		"oneway=reversible":           {},
		"junction=roundabout":         {true, true, false, 25},
		"highway=motorway":            {true, true, false, 90},
		"highway=motorway oneway=no":  {true, false, false, 90},
		"highway=construction":        {},
		"highway=footway":             {},
		"highway=pedestrian area=yes": {},
		"area=yes":                    {},
		"access=private":              {},
		"access=destination":          {true, false, false, 25},
		"access=no motor_vehicle=yes": {true, false, false, 25},
		"motor_vehicle=no":            {},
		"vehicle=no motorcar=yes":     {true, false, false, 25},
		"service=driveway highway=service service=driveway": {true, false, false, 10},
	} {
		var pairs []string
		if tags != "" {
			for _, p := range strings.Split(strings.ReplaceAll(tags, " mph", "_mph"), " ") {
				pairs = append(pairs, strings.ReplaceAll(p, "_mph", " mph"))
			}
		}

		r, ok := parseRoad(road(pairs...))
		if ok != want.open || r.oneWay != want.oneWay || r.against != want.against {
			t.Errorf("%q: open %v, one way %v, against %v; want %+v", tags, ok, r.oneWay, r.against, want)
		}
		if ok && math.Abs(r.speed*3.6-max(want.kmh, leastMs*3.6)) > 0.01 {
			t.Errorf("%q: %.2f km/h, want %.2f", tags, r.speed*3.6, want.kmh)
		}
	}
}

func TestAWrongFileIsRefusedWithACode(t *testing.T) {
	bad := crossing()
	bad.ways = bad.ways[3:4]
	many := blob("OSMData", bytesField(nil, 2, bytesField(nil, 3, packed(number(nil, 1, 1), 2, []uint64{77}))))
	for name, c := range map[string]struct {
		data []byte
		code string
		is   error
	}{
		"empty":                 {nil, "not_an_extract", ErrNotAnExtract},
		"html":                  {[]byte("<html><body>404 not found</body></html>"), "not_an_extract", ErrNotAnExtract},
		"noise":                 {bytes.Repeat([]byte{7, 1}, 4000), "not_an_extract", ErrNotAnExtract},
		"bzip2":                 {[]byte("BZh91AY&SY"), "not_an_extract", ErrNotAnExtract},
		"not closed":            {[]byte("<osm version=\"0.6\"><node id="), "damaged", io.ErrUnexpectedEOF},
		"no number":             {[]byte("<osm version=\"0.6\"><node id=\"x\" lat=\"\" lon=\"a\"/></osm>"), "damaged", ErrDamaged},
		"nothing in it":         {[]byte("<osm version=\"0.6\"></osm>"), "no_roads", ErrNoRoads},
		"paths only":            {bad.xml(), "no_roads", ErrNoRoads},
		"endless comment":       {append([]byte("<osm version=\"0.6\"><!--"), bytes.Repeat([]byte("a"), maxElement+9000)...), "too_large", ErrTooLarge},
		"gzip bomb":             {zipped(append([]byte("<osm version=\"0.6\"><way id=\"1\">"), bytes.Repeat([]byte(" "), maxElement+9000)...)), "too_large", ErrTooLarge},
		"unknown feature":       {blob("OSMHeader", bytesField(nil, 4, []byte("LocationsOnWays2"))), "not_an_extract", ErrNotAnExtract},
		"block bomb":            {append(header(), blob("OSMData", make([]byte, maxBlock+1))...), "too_large", ErrTooLarge},
		"claims a gigabyte":     {append(header(), claim(1<<30)...), "too_large", ErrTooLarge},
		"claims less than none": {append(header(), claim(-5)...), "too_large", ErrTooLarge},
		"text out of range":     {append(header(), many...), "damaged", ErrDamaged},
		"other packing":         {append(header(), framed("OSMData", bytesField(nil, 7, []byte("zstd")))...), "not_an_extract", ErrNotAnExtract},
	} {
		_, _, err := Read(context.Background(), file(t, "x.osm", c.data), Options{})
		own := new(Error)
		if !errors.As(err, &own) || own.Code != c.code || !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want the code %s", name, err, c.code)
		}
	}

	if _, _, err := Read(context.Background(), filepath.Join(t.TempDir(), "gone"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := Read(context.Background(), t.TempDir(), Options{}); !errors.Is(err, ErrNotAnExtract) {
		t.Errorf("a folder: %v", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	for _, data := range [][]byte{crossing().xml(), crossing().pbf(true)} {
		if _, _, err := Read(ctx, file(t, "x", data), Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

func header() []byte { return blob("OSMHeader", bytesField(nil, 4, []byte("OsmSchema-V0.6"))) }

// claim is the header of a block that is said to have so many bytes.
func claim(size int64) []byte {
	h := number(bytesField(nil, 1, []byte("OSMData")), 3, uint64(size))
	return append([]byte{0, 0, 0, byte(len(h))}, h...)
}

func TestAFileCutShortAnywhereIsNoticed(t *testing.T) {
	for name, whole := range map[string][]byte{
		"osm": crossing().xml(), "gz": zipped(crossing().xml()), "pbf": crossing().pbf(true),
	} {
		full, _ := read(t, file(t, name, whole))
		for n := 0; n < len(whole)-1; n += 1 + len(whole)/150 {
			plan, _, err := Read(context.Background(), file(t, name, whole[:n]), Options{Name: "Town"})
			if err == nil && len(plan.Roads) == len(full.Roads) {
				t.Fatalf("%s: nobody noticed that only %d of %d bytes are there", name, n, len(whole))
			}
			if own := new(Error); err != nil && !errors.As(err, &own) {
				t.Fatalf("%s cut after %d bytes: no code: %v", name, n, err)
			}
		}
	}
}

func TestOddElementsAreCountedAndLeftOut(t *testing.T) {
	odd := crossing()
	odd.nodes = append(odd.nodes, node{40, 7.4, 95, nil}, node{41, 720, 43.7, nil}, node{1, 7.5, 43.9, nil})
	odd.ways = append(odd.ways,
		way{100, []int64{3, 4}, tags{"highway": "primary"}},
		way{120, []int64{1, 40, 2}, tags{"highway": "residential"}},
		way{121, nil, tags{"highway": "residential"}},
		way{122, []int64{10, 11, 99, 10}, tags{"natural": "water"}})
	odd.nodes = append(odd.nodes, node{50, 20, 10, nil})

	// over half the world
	odd.ways = append(odd.ways, way{123, []int64{1, 50}, tags{"highway": "residential"}})

	for name, data := range map[string][]byte{"osm": odd.xml(), "pbf": odd.pbf(true)} {
		plan, r := read(t, file(t, name, data))
		if r.BadNodes != 2 || r.Repeated != 2 || r.BrokenAreas != 1 || r.MissingNodes != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := routing.NewCity(plan); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProgressGoesToTheEnd(t *testing.T) {
	var last, all int64
	path := file(t, "town.osm.gz", zipped(crossing().xml()))
	if _, _, err := Read(context.Background(), path, Options{Progress: func(done, total int64) {
		if done < last {
			t.Fatal("it went backwards")
		}
		last, all = done, total
	}}); err != nil || last != all || all == 0 {
		t.Errorf("%d of %d, %v", last, all, err)
	}
}

func FuzzImport(f *testing.F) {
	for _, data := range [][]byte{crossing().xml(), zipped(crossing().xml()), crossing().pbf(true), crossing().pbf(false),
		append(header(), claim(-5)...), append(header(), framed("OSMData", bytesField(nil, 1, protowire.AppendVarint(nil, 1<<63)))...)} {
		f.Add(data)
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		plan, _, err := Read(context.Background(), file(t, "fuzz", data), Options{})
		if own := new(Error); err != nil && !errors.As(err, &own) {
			t.Fatalf("no code: %v", err)
		}
		if err != nil {
			return
		}
		if _, err := routing.NewCity(plan); err != nil && !errors.Is(err, routing.ErrPlan) {
			t.Fatal(err)
		}
	})
}

// FuzzBlock feeds what is inside a block, which the compression would hide from
// FuzzImport.
// FuzzTags reads the tags of a road as people write them.
func FuzzTags(f *testing.F) {
	f.Add("residential", "maxspeed", "30 mph", "oneway", "-1")
	f.Add("motorway_link", "maxspeed", "DE:zone30", "access", "private")
	f.Add("primary", "maxspeed", "NaN", "junction", "roundabout")

	f.Fuzz(func(t *testing.T, highway, key1, value1, key2, value2 string) {
		way := osm.Tags{{Key: "highway", Value: highway}, {Key: key1, Value: value1}, {Key: key2, Value: value2}}
		if r, ok := parseRoad(way); ok && !(r.speed >= leastMs && r.speed <= mostMs) {
			t.Errorf("%v: %g m/s", way, r.speed)
		}
		areaKind(way)
		if draw := rideDraw(way); !(draw >= 0 && draw < 1e6) {
			t.Errorf("%v draws %g rides", way, draw)
		}
	})
}

func FuzzBlock(f *testing.F) {
	var s texts
	s.of("highway")
	f.Add(s.block(bytesField(nil, 3, packed(number(nil, 1, 1), 8, steps([]int64{1, 2})))))

	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, err := Read(context.Background(), file(t, "fuzz", append(header(), blob("OSMData", data)...)), Options{})
		if own := new(Error); err != nil && !errors.As(err, &own) {
			t.Fatalf("no code: %v", err)
		}
	})
}
