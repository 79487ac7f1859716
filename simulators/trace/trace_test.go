package trace

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

func readText(t *testing.T, text string) (Trace, Report) {
	t.Helper()
	tr, rep, err := Read(strings.NewReader(text), "walk", DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return tr, rep
}

func TestATableMayHaveItsColumnsInAnyOrderAndItsTimesInAnyForm(t *testing.T) {
	begin := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for name, text := range map[string]string{
		"rfc 3339":     "id,time,lng,lat\na,2026-03-01T08:00:00Z,3.4,6.45\na,2026-03-01T09:00:10.5+01:00,3.401,6.45\n",
		"with a space": "id,time,lng,lat\na,2026-03-01 08:00:00Z,3.4,6.45\na,2026-03-01 08:00:10.5Z,3.401,6.45",
		"seconds":      "Latitude, Longitude ,extra,TIMESTAMP,Vehicle_ID\r\n6.45,3.4,x,1772352000,a\r\n6.45,3.401,,1772352010.5,a\r\n",
		"milliseconds": "\xef\xbb\xbflat;lon;time;id\n6.45;3.4;1772352000000;a\n\n6.45;3.401;1772352010500;a\n",
		"quotes":       "id\ttime\tlng\tlat\n\"a\"\t1772352000\t3.4\t6.45\na\t1772352010.5\t\"3.401\"\t6.45\n",
		"unsorted":     "id,time,lng,lat\na,1772352010.5,3.401,6.45\na,1772352000,3.4,6.45\n",
	} {
		t.Run(name, func(t *testing.T) {
			tr, rep := readText(t, text)
			if !tr.StartedAt.Equal(begin) || len(tr.Cars) != 1 || tr.Cars[0].ID != "a" || rep.BadRows != 0 || rep.Rows != 2 || rep.Seconds != 10.5 {
				t.Fatalf("%+v %+v", tr, rep)
			}

			f := tr.Cars[0].Fixes
			if len(f) != 2 || f[0].At != 0 || f[1].At != 10500*time.Millisecond || f[1].Point != (location.Point{Lng: 3.401, Lat: 6.45}) {
				t.Fatalf("%+v", f)
			}
			if math.Abs(float64(f[1].Speed)-10.5) > 0.1 || math.Abs(float64(f[0].Heading)-90) > 0.1 || f[0].Speed != f[1].Speed {
				t.Fatalf("110.5 m to the east in 10.5 s: %+v", f)
			}
		})
	}
}

func TestSpeedAndHeadingOfARowAreTakenWhenTheyMakeSense(t *testing.T) {
	tr, _ := readText(t, "id,time,lng,lat,speed,heading\na,1772352000,3.4,6.45,7.5,270\na,1772352010,3.401,6.45,-3,NaN\na,1772352020,3.401,6.45,,\n")
	f := tr.Cars[0].Fixes
	if f[0].Speed != 7.5 || f[0].Heading != 270 || f[1].Speed < 10 || f[1].Heading > 91 || f[2].Speed != 0 || f[2].Heading != f[1].Heading {
		t.Fatalf("%+v", f)
	}
}

func TestBadRowsAreCountedAndNamedByLineAndReasonAndTheRestIsDriven(t *testing.T) {
	text := "id,time,lng,lat\n" +
		"a,1772352000,3.4,6.45\n" +
		",1772352001,3.4,6.45\n" + // 3
		"a,yesterday,3.4,6.45\n" +
		"a,1772352002,east,6.45\n" +
		"a,1772352003,3.4,95\n" + // 6
		"a,1772352004,3.4\n" +
		"a,NaN,3.4,6.45\n" +
		"a,1772352005,NaN,6.45\n" + // 9
		"a,12,3.4,6.45\n" +
		"a,1772352000,3.5,6.45\n" + // 11
		strings.Repeat("i", 65) + ",1772352006,3.4,6.45\n" +
		"a\"b,1772352006,3.4,6.45\n" +
		strings.Repeat("x", 200_000) + "\n" + // 14
		"\xff,1772352006,3.4,6.45\n" +
		"b,1772352007,3.4,6.45"

	tr, rep := readText(t, text)
	if len(tr.Cars) != 2 || rep.Fixes != 2 || rep.Rows != 15 || rep.BadRows != 13 || len(rep.NamedRows) != 13 {
		t.Fatalf("%+v", rep)
	}

	all := strings.Join(rep.NamedRows, "\n")
	for line, why := range map[int]string{3: "no id", 4: "neither RFC 3339", 5: "no number", 6: "not on earth", 7: "no lat",
		8: "neither RFC 3339", 9: "not on earth", 10: "years", 11: "a second fix", 12: "longer than 64", 13: "quotes",
		14: "longer than", 15: "UTF-8"} {
		found := false
		for _, n := range rep.NamedRows {
			found = found || strings.HasPrefix(n, fmt.Sprintf("line %d:", line)) && strings.Contains(n, why)
		}
		if !found {
			t.Errorf("line %d is not named for %q:\n%s", line, why, all)
		}
	}

	sum := 0
	for _, n := range rep.Reasons {
		sum += n
	}
	if sum != rep.BadRows {
		t.Errorf("the reasons count %d rows of %d", sum, rep.BadRows)
	}
}

func TestOnlyTheFirstTwentyBadRowsAreNamedButAllAreCounted(t *testing.T) {
	_, rep := readText(t, "id,time,lng,lat\na,1772352000,3.4,6.45\n"+strings.Repeat("a,?,3,6\n", 1000))
	if rep.BadRows != 1000 || len(rep.NamedRows) != 20 || len(rep.Reasons) != 1 {
		t.Fatalf("%d bad, %d named, %v", rep.BadRows, len(rep.NamedRows), rep.Reasons)
	}
}

func TestWhatIsBeyondTheLimitsIsABadRow(t *testing.T) {
	text := "id,time,lng,lat\na,1772352000,3.4,6.45\nb,1772352001,3.4,6.45\na,1772352002,3.4,6.45\na,1772352003,3.4,6.45\n"
	tr, rep, err := Read(strings.NewReader(text), "", Limits{Fixes: 2, Cars: 1})
	if err != nil || len(tr.Cars) != 1 || rep.Fixes != 2 || rep.BadRows != 2 {
		t.Fatalf("%v %+v", err, rep)
	}
}

func TestNothingToDriveIsAnErrorThatSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		"": "no rows", "id,time,lat\na,1,2\n": "line 1 must name the columns", "id,time,lng,lat\n": "no rows",
		"id,time,lng,lat\na,b,c,d\n": "line 2", "<gpx></gpx>": "no rows", "<gpx": "line 1",
		"<gpx><trk><trkpt lat='1' lon='2'/></trk></gpx>": "no time", "\x00\x01": "columns",
	} {
		_, _, err := Read(strings.NewReader(text), "", DefaultLimits)
		if !errors.Is(err, ErrEmpty) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

const hike = `<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><metadata><name>not a car</name><time>2020-01-01T00:00:00Z</time></metadata>
<wpt lat="1" lon="1"><time>2026-03-01T08:00:00Z</time></wpt>
<trk><name>red van</name><trkseg>
 <trkpt lat="6.45" lon="3.40"><ele>4</ele><time>2026-03-01T08:00:00Z</time></trkpt>
 <trkpt lat="6.45" lon="3.41"><time>2026-03-01T08:01:00Z</time><extensions><speed>9</speed><course>45</course></extensions></trkpt>
</trkseg><trkseg>
 <trkpt lat="6.46" lon="3.41"><time>never</time></trkpt>
 <trkpt lat="x" lon="3.41"><time>2026-03-01T08:02:00Z</time></trkpt>
</trkseg></trk>
<trk><trkseg><trkpt lat="6.4" lon="3.4"><time>2026-03-01T08:00:30Z</time></trkpt></trkseg></trk>
<trk><trkseg><trkpt lat="6.5" lon="3.4"><time>2026-03-01T08:00:40Z</time></trkpt></trkseg></trk>
</gpx>`

func TestTracksAreCarsNamedByThemOrByTheFile(t *testing.T) {
	tr, rep := readText(t, hike)
	var got []string
	for _, c := range tr.Cars {
		got = append(got, fmt.Sprintf("%s %d %s", c.ID, len(c.Fixes), c.Fixes[0].At))
	}
	if want := "[red van 2 0s walk 1 30s walk-2 1 40s]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
	if rep.Rows != 6 || rep.BadRows != 2 || !strings.HasPrefix(rep.NamedRows[0], "line 8: a time") || !strings.HasPrefix(rep.NamedRows[1], "line 9: a place") {
		t.Errorf("%+v", rep)
	}
	if f := tr.Cars[0].Fixes[1]; f.Speed != 9 || f.Heading != 45 {
		t.Errorf("%+v", f)
	}
}

func TestTracksThatBreakOffAreDrivenUpToThere(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":         hike[:strings.Index(hike, "</trkseg>")],
		"a wrong tag":     strings.Replace(hike, "</trkseg><trkseg>", "</oops>", 1),
		"an endless text": strings.Replace(hike, "</trkseg><trkseg>", "<desc>"+strings.Repeat("y", 3<<20)+"</desc>", 1),
	} {
		tr, rep := readText(t, text)
		if len(tr.Cars) != 1 || len(tr.Cars[0].Fixes) != 2 || rep.BadRows != 1 || rep.Reasons["the rest cannot be read"] != 1 {
			t.Errorf("%s: %+v", name, rep)
		}
	}
}

func TestAFileIsOpenedAndAMissingOneIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my drive.gpx")
	if err := os.WriteFile(file, []byte(hike), 0o600); err != nil {
		t.Fatal(err)
	}
	if tr, _, err := Open(file); err != nil || tr.Cars[1].ID != "my drive" {
		t.Fatal(tr.Cars, err)
	}
	if _, _, err := Open(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(hike))
	f.Add([]byte("id,time,lng,lat,speed\na,1772352000,3.4,6.45,2\nb,2026-03-01T08:00:00Z,\"3\",6.45,\n"))
	f.Add([]byte("\xef\xbb\xbflat;lon;time;id\n6.45;3.4;1772352000000;a\n"))

	f.Fuzz(func(t *testing.T, data []byte) {
		tr, rep, err := Read(bytes.NewReader(data), "f", Limits{Fixes: 50, Cars: 5})
		if err != nil {
			if !errors.Is(err, ErrEmpty) {
				t.Fatal(err)
			}
			return
		}

		fixes := 0
		for _, c := range tr.Cars {
			fixes += len(c.Fixes)
			if c.ID == "" || len(c.ID) > 64 || len(c.Fixes) == 0 {
				t.Fatalf("car %q with %d fixes", c.ID, len(c.Fixes))
			}

			for i, x := range c.Fixes {
				if x.Point.CheckRange() != nil || x.At < 0 || i > 0 && x.At <= c.Fixes[i-1].At ||
					!(x.Heading >= 0 && x.Heading < 360.001) || !(x.Speed >= 0) || math.IsInf(float64(x.Speed), 0) {
					t.Fatalf("fix %d of %q: %+v", i, c.ID, x)
				}
			}
		}

		if fixes != rep.Fixes || len(tr.Cars) != rep.Cars || len(tr.Cars) > 5 || fixes > 50 || len(rep.NamedRows) > 20 {
			t.Fatalf("%d fixes, %d cars: %+v", fixes, len(tr.Cars), rep)
		}
		bad := 0
		for _, n := range rep.Reasons {
			bad += n
		}
		if bad != rep.BadRows {
			t.Fatalf("%+v", rep)
		}
	})
}
