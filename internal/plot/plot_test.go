package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// checkWellFormed fails when a picture is not XML or holds a number that is
// none.
func checkWellFormed(t *testing.T, picture string) {
	t.Helper()
	if !strings.HasPrefix(picture, "<svg") || !strings.HasSuffix(picture, "</svg>\n") {
		t.Error("it does not begin and end as a picture does")
	}
	if strings.Contains(picture, "NaN") || strings.Contains(picture, "Inf") {
		t.Errorf("a coordinate is not a number: %s", picture)
	}

	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryKindOfChartIsAPicture(t *testing.T) {
	curve := Curve{Name: "a & b", Dots: true, Points: []Point{{2, 30, "here"}, {1, 0, ""}, {0.5, 2000, ""}}}
	for name, c := range map[string]Chart{
		"nothing":      {},
		"empty panels": {Panels: []Panel{{}, {Curves: []Curve{{}}}}},
		"no values":    {Y: Axis{Log: true}, Panels: []Panel{{Curves: []Curve{{Points: []Point{{X: 3}}}}}}},
		"curves":       {Title: "1 < 2", X: Axis{Name: "s"}, Y: Axis{Log: true}, Panels: []Panel{{Curves: []Curve{curve}}, {Name: "p"}}},
		"lines":        {Y: Axis{End: 100}, Panels: []Panel{{Curves: []Curve{curve, {}, {}, {}, curve}}}},
		"bars":         {Panels: []Panel{{Bars: []Bar{{Name: "0.5", Height: 3}, {Name: "1"}}}}},
		"log bars":     {Y: Axis{Log: true}, Panels: []Panel{{Bars: []Bar{{Name: "a name too long for its place", Height: 3e7}, {Name: "1"}, {Name: "2", Height: -1}}}}},
		"styles":       {Panels: []Panel{{Curves: []Curve{{Style: Law, Points: curve.Points}, {Style: Guess, Points: curve.Points}, {Style: Earlier, Points: curve.Points}}}}},
		"bar styles":   {Panels: []Panel{{Bars: []Bar{{Style: Law, Height: 1}, {Style: Guess, Height: 2}, {Style: Earlier, Height: 3}}}}},
		"faults":       {X: Axis{Log: true}, Panels: []Panel{{Bands: []Band{{From: 0, To: 20, Name: "<cut>"}, {From: 30, To: 40}}, Limits: []Limit{{At: 0}, {At: -1}}}}},
	} {
		t.Run(name, func(t *testing.T) { checkWellFormed(t, c.SVG()) })
	}
}

func TestNamesAreEscapedAndMarksAreWritten(t *testing.T) {
	c := Chart{Title: "1 < 2", X: Axis{Name: "x & y"}, Panels: []Panel{{Curves: []Curve{{Name: `"c"`, Points: []Point{{1, 1, "here"}}}}}}}
	for _, want := range []string{">1 &lt; 2<", ">x &amp; y<", ">&#34;c&#34;<", ">here<"} {
		if !strings.Contains(c.SVG(), want) {
			t.Errorf("no %s in %s", want, c.SVG())
		}
	}
}

func TestAPointIsWhereItsValuesSay(t *testing.T) {
	c := Chart{X: Axis{End: 10}, Y: Axis{End: 100}, Panels: []Panel{{Curves: []Curve{{Points: []Point{{10, 100, ""}, {0, 0, ""}, {5, 50, ""}}}}}}}
	if got := c.SVG(); !strings.Contains(got, `points="62.0,338.0 342.0,203.0 622.0,68.0"`) {
		t.Errorf("the points, by rising X, are not there: %s", got)
	}
}

func TestALogarithmicAxisLeavesOutWhatHasNoLogarithm(t *testing.T) {
	c := Chart{Y: Axis{Log: true}, Panels: []Panel{{Curves: []Curve{{Dots: true, Points: []Point{{1, 0, ""}, {2, -1, ""}, {3, 10, ""}}}}}}}
	if got := strings.Count(c.SVG(), "<circle"); got != 1 {
		t.Errorf("%d points are drawn, want 1", got)
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		axis   Axis
		values []float64
		want   []float64
	}{
		"no values":     {Axis{}, nil, []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}},
		"linear":        {Axis{}, []float64{3, 23}, []float64{0, 5, 10, 15, 20, 25}},
		"to its end":    {Axis{End: 100}, []float64{41}, []float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}},
		"past its end":  {Axis{End: 1}, []float64{7000}, []float64{0, 1000, 2000, 3000, 4000, 5000, 6000, 7000}},
		"logarithmic":   {Axis{Log: true}, []float64{0, .02, 300}, []float64{.01, .1, 1, 10, 100, 1000}},
		"few powers":    {Axis{Log: true}, []float64{0, .2, 3}, []float64{.1, .2, .5, 1, 2, 5}},
		"one power":     {Axis{Log: true}, []float64{10}, []float64{10, 20, 50, 100}},
		"no logarithms": {Axis{Log: true}, []float64{0}, []float64{1, 2, 5, 10}},
		"from its start": {Axis{Log: true, Start: 10, End: 1e6}, []float64{100, 2000},
			[]float64{10, 100, 1000, 1e4, 1e5, 1e6}},
		"before its start": {Axis{Log: true, Start: 10, End: 1e4}, []float64{.5}, []float64{.1, 1, 10, 100, 1000, 1e4}},
	} {
		if got := c.axis.scaleFor(c.values).tickValues(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", .5: "0.5", 1000: "1000", 5000: "5000", 20000: "20k", 1e5: "100k", 1e6: "1M", 5e6: "5M", 15e5: "1.5M", 2e7: "20M", 1e-6: "1e-06"} {
		if got := formatTick(v); got != want {
			t.Errorf("the tick %g is written %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 74.93: "74.9", 431: "431", 1035: "1.03k", 1e6: "1M", 2.48e7: "24.8M", 5e12: "5e+03G"} {
		if got := formatHeight(v); got != want {
			t.Errorf("the height %g is written %s, want %s", v, got, want)
		}
	}
}

func TestALimitIsOnTheAxis(t *testing.T) {
	c := Chart{Panels: []Panel{{Curves: []Curve{{Points: []Point{{1, 3, ""}}}}, Limits: []Limit{{At: 40, Name: "capacity"}}}}}
	if got := c.Y.scaleFor(c.yValues()).high; got < 40 {
		t.Errorf("the axis ends at %g", got)
	}
	if picture := c.SVG(); !strings.Contains(picture, ">capacity<") || !strings.Contains(picture, `class="limit"`) {
		t.Error("no limit is drawn")
	}
}

func TestABandIsHatchedWhereTheAxisIs(t *testing.T) {
	c := Chart{X: Axis{End: 10}, Y: Axis{End: 10}, Panels: []Panel{{Bands: []Band{{From: -3, To: 5}, {From: 20, To: 30}}}}}
	picture := c.SVG()
	if strings.Count(picture, "url(#hatch)") != 1 || !strings.Contains(picture, `<rect class="band" x="62.0" y="68.0" width="280.0" height="270"`) {
		t.Errorf("not the first half: %s", picture)
	}
}

func TestBarsOfOneNameStandSideBySide(t *testing.T) {
	p := Panel{Bars: []Bar{{Name: "polling", Group: "down", Height: 1}, {Name: "socket", Group: "down", Height: 2},
		{Name: "polling", Group: "up", Height: 3}, {Name: "socket", Group: "up", Height: 4}}}
	picture := Chart{Panels: []Panel{p}}.SVG()
	var at []float64
	for _, m := range regexp.MustCompile(`<g class="i(\d)"><rect x="([\d.]+)" y="[\d.]+" width="117.6"`).FindAllStringSubmatch(picture, -1) {
		x, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, x)
		if want := strconv.Itoa((len(at) - 1) % 2); m[1] != want {
			t.Errorf("bar %d has ink %s", len(at), m[1])
		}
	}
	if want := []float64{84.4, 202, 364.4, 482}; !slices.Equal(at, want) {
		t.Errorf("bars begin at %v, want %v", at, want)
	}
	for _, name := range []string{"polling", "socket", "down", "up"} {
		if strings.Count(picture, ">"+name+"<") != 1 {
			t.Errorf("%s is not written once", name)
		}
	}
}

func TestAStyleIsNeverOnlyAColour(t *testing.T) {
	line := []Point{{0, 1, ""}, {1, 2, ""}}
	draw := func(c ...Curve) string { return Chart{Panels: []Panel{{Curves: c}}}.SVG() }
	if got := draw(Curve{Style: Guess, Points: line}); !strings.Contains(got, "stroke-dasharray=\"7 5\"") {
		t.Error("a guess is not dashed")
	}
	if got := draw(Curve{Style: Law, Points: line}); !strings.Contains(got, `<g class="law"><polyline`) || !strings.Contains(got, `stroke-width="2.5"`) {
		t.Error("a law is not a thick grey line")
	}
	if got := draw(Curve{Name: "one", Style: Law, Points: line}, Curve{Name: "two", Style: Law, Points: line}); strings.Count(got, `class="law"`) != 2 ||
		strings.Count(got, ">two</text>") != 1 {
		t.Error("two laws are not named at their lines alone")
	}
	if got := draw(Curve{Name: "a", Points: line}, Curve{Name: "a", Style: Earlier, Points: line}); strings.Count(got, `class="i0 earlier"`) != 2 {
		t.Error("an earlier run is not pale in the colour of its curve, or not in the legend")
	}
}

// TestEightCurvesHaveEightMarkers draws curves of which each has its own marker
// on its line and beside its name.
func TestEightCurvesHaveEightMarkers(t *testing.T) {
	var markers []string
	for i := range inks {
		k := new(canvas)
		k.drawMarker(i, 0, 0, 3)
		markers = append(markers, k.String())
	}
	slices.Sort(markers)
	if n := len(slices.Compact(markers)); n != inks {
		t.Errorf("there are only %d markers", n)
	}
}

func TestTheSameChartGivesTheSameBytes(t *testing.T) {
	c := Chart{Panels: []Panel{{Curves: []Curve{{Name: "b", Points: []Point{{1, 2, ""}, {1, 1, ""}, {0, 4, ""}}}, {Name: "a"}}, Bands: []Band{{To: 1}}}}}
	first := c.SVG()
	for range 20 {
		if c.SVG() != first {
			t.Fatal("not the same")
		}
	}
}

func TestALawIsCutWhereAFixedAxisEnds(t *testing.T) {
	law := Curve{Style: Law, Points: []Point{{0, 1, ""}, {1, 10, ""}, {2, 1000, ""}}}
	for end, want := range map[float64]string{0: "1000", 10: "10"} {
		c := Chart{X: Axis{End: 2}, Y: Axis{End: end}, Panels: []Panel{{Curves: []Curve{law}}}}
		ticks := c.Y.scaleFor(c.yValues()).tickValues()
		if got := formatTick(ticks[len(ticks)-1]); got != want {
			t.Errorf("an axis to %g ends at %s, want %s", end, got, want)
		}
		if points := len(c.newCanvas().placeablePoints(law)); points != 3 && end == 0 || points != 2 && end == 10 {
			t.Errorf("an axis to %g has %d points of the law", end, points)
		}
	}
}
