package routing

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/location"
)

func saved(t testing.TB, c *City) []byte {
	var file bytes.Buffer
	if err := c.Save(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestACityComesBackFromItsFile(t *testing.T) {
	c := builtInCity()
	path := filepath.Join(t.TempDir(), "city.ridehail")
	if err := os.WriteFile(path, saved(t, c), 0o600); err != nil {
		t.Fatal(err)
	}

	back, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if back.Spec() != path || c.Spec() != "1" || back.Name() != c.Name() {
		t.Errorf("spec %q, name %q", back.Spec(), back.Name())
	}
	if !bytes.Equal(saved(t, back), saved(t, c)) || !bytes.Equal(back.GeoJSON(), c.GeoJSON()) {
		t.Error("the city changed on its way through the file")
	}

	r := dice(1)
	from, to := c.RandomPoint(r), c.RandomPoint(r)

	a, err := NewRouter(c).Route(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := NewRouter(back).Route(context.Background(), from, to); err != nil || a.Duration != b.Duration {
		t.Errorf("%v and %v, %v", a.Duration, b.Duration, err)
	}
}

func TestAFileThatIsNoCitySaysSo(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "missing"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "seed") {
		t.Errorf("a missing file: %v", err)
	}

	whole := saved(t, triangle(t))
	for name, file := range map[string][]byte{
		"empty": {}, "foreign": []byte("<?xml version=\"1.0\"?><osm version=\"0.6\"/>"), "gzip": whole[len(fileMagic):],
	} {
		if _, err := Load(bytes.NewReader(file)); !errors.Is(err, ErrNotACity) {
			t.Errorf("%s: %v", name, err)
		}
	}

	for n := len(fileMagic); n < len(whole); n++ {
		if _, err := Load(bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(whole), err)
		}
	}

	for n := len(fileMagic) + 10; n < len(whole); n++ {
		// the first ten bytes of gzip hold flags that do not matter
		broken := bytes.Clone(whole)
		broken[n] ^= 0x10
		if _, err := Load(bytes.NewReader(broken)); err == nil {
			t.Fatalf("nobody noticed that byte %d is wrong", n)
		}
	}
}

func TestAPlanThatCannotBeACityIsRefused(t *testing.T) {
	here, there := location.Point{Lng: 3.4, Lat: 6.4}, location.Point{Lng: 3.401, Lat: 6.4}
	for name, road := range map[string]Road{
		"one point":        {Points: []location.Point{here}},
		"nowhere":          {Points: []location.Point{here, {Lng: math.NaN()}}},
		"over the horizon": {Points: []location.Point{here, {Lng: 5, Lat: 6.4}}},
		"unknown class":    {Points: []location.Point{here, there}, Class: 9},
		"too fast":         {Points: []location.Point{here, there}, Speed: 300},
		"no way back":      {Points: []location.Point{here, there}, OneWay: true},
		"no length":        {Points: []location.Point{here, here}},
	} {
		if _, err := NewCity(Plan{Roads: []Road{road}}); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if _, err := NewCity(Plan{}); !errors.Is(err, ErrPlan) {
		t.Errorf("nothing: %v", err)
	}
}

// FuzzLoad feeds the JSON inside a city file: fuzzing the compressed bytes
// would only try the checksum.
func FuzzLoad(f *testing.F) {
	plan, err := json.Marshal(packPlan(triangle(f).plan))
	if err != nil {
		f.Fatal(err)
	}

	f.Add(plan)
	f.Add(plan[:len(plan)/2])
	f.Add([]byte(`{"roads":[{"l":[1,2,3]}]}`))
	f.Add([]byte(`{"roads":[{"l":[0,0,180000000,90000000]},{"l":[2147483647,2147483647,1,1]}]}`))
	f.Add([]byte(`{"areas":[{"k":"sea","r":[[1,2]]}],"hotspots":[{"n":"x","p":[],"w":-1}]}`))

	f.Fuzz(func(t *testing.T, plan []byte) {
		var file bytes.Buffer
		file.WriteString(fileMagic)

		zw := gzip.NewWriter(&file)
		if _, err := zw.Write(plan); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}

		c, err := Load(&file)
		if err != nil {
			return
		}
		if !json.Valid(c.GeoJSON()) || len(c.Regions()) == 0 {
			t.Fatal("a city that cannot be drawn")
		}

		p := c.RandomPoint(dice(1))
		if way, err := NewRouter(c).Route(context.Background(), p, p); err == nil && len(way.Path) < 2 {
			t.Fatalf("%+v", way)
		}
		if again, err := Load(bytes.NewReader(saved(t, c))); err != nil || !bytes.Equal(saved(t, again), saved(t, c)) {
			t.Fatalf("not the same after saving: %v", err)
		}
	})
}
