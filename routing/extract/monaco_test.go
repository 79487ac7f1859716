package extract

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/routing"
)

// shared finds a real extract that is not part of the repository: in the folder
// that RIDEHAIL_SHARED names, or in ../shared beside the repository. Without it
// the tests that need it are skipped; other tests show the same with extracts
// that they write.
func shared(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("RIDEHAIL_SHARED"), filepath.Join("..", "..", "..", "shared")} {
		path := filepath.Join(dir, "data", name)
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path
		}
	}

	t.Skipf("no %s: put an extract there and name the folder above data/ in RIDEHAIL_SHARED", name)
	return ""
}

func TestMonacoIsACityToDriveIn(t *testing.T) {
	plan, report := read(t, shared(t, "monaco.osm.gz"))
	city := cityOf(t, plan)

	kept := city.Kept()
	if kept.Junctions < 400 || kept.Metres < 0.8*kept.OfMetres || report.Roads < 400 || report.Hotspots < 10 {
		t.Errorf("kept %+v of %+v", kept, report)
	}

	router, r := routing.NewRouter(city), rand.New(rand.NewPCG(1, 1))
	for range 300 {
		from, to := city.RandomPoint(r), city.RandomPoint(r)
		if way, err := router.Route(context.Background(), from, to); err != nil || way.Duration > time.Hour {
			t.Fatalf("%v to %v: %s, %v", from, to, way.Duration, err)
		}
	}

	for _, h := range city.Hotspots() {
		if !city.Contains(h.Point) {
			t.Errorf("no car gets to %s", h.Name)
		}
	}

	if s := city.Straight(); s.Factor < 1.2 || s.Factor > 2.5 {
		t.Errorf("a town on a steep slope has winding ways: %+v", s)
	}
}

func TestATinyExtractOfOneWaysKeepsWhatLeadsBack(t *testing.T) {
	plan, _ := read(t, shared(t, "one_way_dead_end.osm.pbf"))
	city := cityOf(t, plan)
	if kept := city.Kept(); kept.Junctions == 0 || kept.Junctions == kept.OfJunctions || kept.LostRoads == 0 {
		t.Errorf("%+v", kept)
	}
}

// BenchmarkImport reads Monaco and says how much memory that takes at the most,
// over what was there before. With -short it reads a crossing written here.
func BenchmarkImport(b *testing.B) {
	var path string
	if testing.Short() {
		path = file(b, "crossing.osm.gz", zipped(crossing().xml()))
	} else {
		path = shared(b, "monaco.osm.gz")
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	var plan routing.Plan
	var points int

	for b.Loop() {
		var err error
		if plan, _, err = Read(context.Background(), path, Options{Progress: func(done, _ int64) {
			if done%(1<<16) == 0 {
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapAlloc-before.HeapAlloc))
			}
		}}); err != nil {
			b.Fatal(err)
		}
	}

	for _, r := range plan.Roads {
		points += len(r.Points)
	}

	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}

	b.ReportMetric(float64(info.Size())*float64(b.N)/b.Elapsed().Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(peak.Load())/1e6, "peak-MB")
	b.ReportMetric(float64(points), "points")
}
