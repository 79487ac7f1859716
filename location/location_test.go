package location

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestAFixIsBelievedOrRefusedWithAReason(t *testing.T) {
	last := Fix{Point: Point{3.4, 6.45}, Seq: 9, At: noon}
	good := Fix{Point: Point{3.4001, 6.45}, Seq: 10, At: noon.Add(time.Second), Heading: 90, Speed: 11, Accuracy: 5}
	for name, c := range map[string]struct {
		change func(*Fix)
		want   RejectReason
	}{
		"good":                 {func(*Fix) {}, Accepted},
		"phone restarted":      {func(f *Fix) { f.Seq = 1 }, Accepted},
		"latitude 91":          {func(f *Fix) { f.Lat = 91 }, OutOfRange},
		"longitude 541":        {func(f *Fix) { f.Lng = 541 }, OutOfRange},
		"heading backwards":    {func(f *Fix) { f.Heading = -1 }, OutOfRange},
		"speed negative":       {func(f *Fix) { f.Speed = -1 }, OutOfRange},
		"nan":                  {func(f *Fix) { f.Lat = math.NaN() }, NotANumber},
		"infinite":             {func(f *Fix) { f.Lng = math.Inf(1) }, NotANumber},
		"nan heading":          {func(f *Fix) { f.Heading = float32(math.NaN()) }, NotANumber},
		"same time":            {func(f *Fix) { f.At = noon }, Stale},
		"older":                {func(f *Fix) { f.At = noon.Add(-time.Millisecond) }, Stale},
		"no time at all":       {func(f *Fix) { f.At = time.Time{} }, Stale},
		"from tomorrow":        {func(f *Fix) { f.At = noon.Add(24 * time.Hour) }, Future},
		"a kilometre's radius": {func(f *Fix) { f.Accuracy = 1000 }, Inaccurate},
		"another town":         {func(f *Fix) { f.Lng = 3.5 }, Teleport},
		"a thousand a second":  {func(f *Fix) { f.At = noon.Add(time.Millisecond) }, TooFrequent},
	} {
		t.Run(name, func(t *testing.T) {
			fix := good
			c.change(&fix)
			if got := DefaultFixFilter().Accept(last, true, fix, noon.Add(time.Second)); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestATeleportedDriverIsBelievedAgainAfterAWhile(t *testing.T) {
	j, last := DefaultFixFilter(), Fix{Point: Point{3.4, 6.45}, At: noon}
	for s := 1; ; s++ {
		now := noon.Add(time.Duration(s) * time.Second)
		r := j.Accept(last, true, Fix{Point: Point{4.4, 6.45}, At: now}, now)
		if r == Accepted {
			if wait := now.Sub(noon); wait <= j.ForgetAfter || wait > j.ForgetAfter+2*time.Second {
				t.Fatalf("believed after %s", wait)
			}
			return
		}

		if r != Teleport || s > 100 {
			t.Fatalf("second %d: %q", s, r)
		}
	}
}

func TestCompressedTimeAllowsFasterCars(t *testing.T) {
	last, now := Fix{Point: Point{3.4, 6.45}, At: noon}, noon.Add(time.Second)
	fix := Fix{Point: Point{3.41, 6.45}, At: now} // 1.1 km in a second
	if r := DefaultFixFilter().Accept(last, true, fix, now); r != Teleport {
		t.Fatalf("%q", r)
	}
	if r := DefaultFixFilter().WithPace(20).Accept(last, true, fix, now); r != Accepted {
		t.Fatalf("%q", r)
	}
}

func drawPoint(t *rapid.T, name string) Point {
	return Point{rapid.Float64Range(-180, 180).Draw(t, name+" lng"), rapid.Float64Range(-89, 89).Draw(t, name+" lat")}
}

func TestAHexagonNeverClaimsAForeignPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoint(t, "p")
		c, err := CellOf(p)
		if err != nil {
			t.Fatal(err)
		}

		h, err := HexagonOf(c)
		if err != nil {
			t.Fatal(err)
		}
		if m := MetresBetween(p, h.Centre); m > h.Radius {
			t.Fatalf("%v is %.1f m from the centre of its cell, radius %.1f", p, m, h.Radius)
		}

		for range 50 {
			q := Point{h.Centre.Lng + rapid.Float64Range(-.003, .003).Draw(t, "x"), h.Centre.Lat + rapid.Float64Range(-.003, .003).Draw(t, "y")}
			if q.CheckRange() != nil || !h.Contains(q) {
				continue
			}
			if got, _ := CellOf(q); got != c {
				t.Fatalf("%v is in %s, %s claims it", q, got, c)
			}
		}
	})
}

func TestMostOfAHexagonIsCertain(t *testing.T) {
	c, _ := CellOf(Point{3.4, 6.45})
	h, _ := HexagonOf(c)
	inside, certain := 0, 0
	for x := -40; x <= 40; x++ {
		for y := -40; y <= 40; y++ {
			p := Point{h.Centre.Lng + float64(x)*5e-5, h.Centre.Lat + float64(y)*5e-5}
			if got, _ := CellOf(p); got == c {
				inside++
				if h.Contains(p) {
					certain++
				}
			}
		}
	}

	if certain*100 < inside*97 {
		t.Fatalf("certain of %d points of %d", certain, inside)
	}
}

func TestFlatAgreesWithTheSphere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawPoint(t, "a")
		b := Point{a.Lng + rapid.Float64Range(-.15, .15).Draw(t, "x"), a.Lat + rapid.Float64Range(-.15, .15).Draw(t, "y")}
		if b.CheckRange() != nil {
			return
		}
		f := NewLocalPlane(a)
		if m, want := f.MetresTo(b), MetresBetween(a, b); math.Abs(m-want) > 1e-3+want*1e-5 {
			t.Fatalf("%.4f m, sphere %.4f m", m, want)
		}
	})
}

func TestCellsRefusePlacesOffTheEarth(t *testing.T) {
	for _, p := range []Point{{0, 91}, {541, 0}, {math.NaN(), 0}, {0, math.Inf(1)}} {
		if c, err := CellOf(p); err == nil || c != 0 {
			t.Errorf("%v is in cell %s", p, c)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add(3.4, 6.45, int64(1000), float32(0), float32(0), float32(0))
	f.Add(math.NaN(), 91.0, int64(-1), float32(400), float32(-1), float32(1e9))

	f.Fuzz(func(t *testing.T, lng, lat float64, ms int64, heading, speed, accuracy float32) {
		last, now := Fix{Point: Point{3.4, 6.45}, At: noon}, noon.Add(time.Second)
		fix := Fix{Point: Point{lng, lat}, At: noon.Add(time.Duration(ms%1e12) * time.Millisecond), Heading: heading, Speed: speed, Accuracy: accuracy}
		if DefaultFixFilter().Accept(last, true, fix, now) != Accepted {
			return
		}
		if fix.CheckRange() != nil || !fix.At.After(last.At) || MetresBetween(last.Point, fix.Point) > 2000 {
			t.Fatalf("believed %+v", fix)
		}
	})
}
