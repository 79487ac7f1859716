package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
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
		"bars":         {Panels: []Panel{{Bars: []Bar{{"0.5", 3}, {"1", 0}}}}},
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
	if got := c.SVG(); !strings.Contains(got, `points="62.0,340.0 342.0,205.0 622.0,70.0"`) {
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
		"logarithmic":   {Axis{Log: true}, []float64{0, .02, 3}, []float64{.01, .1, 1, 10}},
		"one power":     {Axis{Log: true}, []float64{10}, []float64{10, 100}},
		"no logarithms": {Axis{Log: true}, []float64{0}, []float64{1, 10}},
	} {
		if got := c.axis.scaleFor(c.values).tickValues(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
