package chaos

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestASeedAlwaysMakesTheSamePlanAndAnotherSeedAnotherOne(t *testing.T) {
	a, b, c := Plan(7, time.Minute, 2, Engines{}), Plan(7, time.Minute, 2, Engines{}), Plan(8, time.Minute, 2, Engines{})
	if !reflect.DeepEqual(a, b) {
		t.Error("two plans of one seed differ")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("two seeds make the same plan")
	}
}

func TestEveryKindOfFaultComesWithinHalfAMinute(t *testing.T) {
	for seed := range uint64(500) {
		seen := map[Kind]int{}
		for _, f := range Plan(seed, 30*time.Second, 2, Engines{}) {
			seen[f.Kind]++
		}
		if len(seen) != len(Engines{}.kinds()) {
			t.Fatalf("seed %d has only %v", seed, seen)
		}
	}
}

func TestNoPartIsBrokenTwiceAtATimeAndAllIsWholeInTheEnd(t *testing.T) {
	for seed := range uint64(500) {
		length := time.Duration(10+seed%120) * time.Second
		whole, last := map[string]time.Duration{}, time.Duration(0)
		for _, f := range Plan(seed, length, 1+int(seed%3), Engines{}) {
			if f.At < last || f.At < whole[f.affectedPart()] || f.At+f.Lasts > length {
				t.Fatalf("seed %d: %v at %v for %v of %v, after one at %v; the part is whole at %v", seed, f, f.At, f.Lasts,
					length, last, whole[f.affectedPart()])
			}
			last, whole[f.affectedPart()] = f.At, f.At+f.Lasts
			if f.Node > 1+int(seed%3) {
				t.Fatalf("seed %d: %v is about no node", seed, f)
			}
		}
	}
}

func TestEachEngineHasItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		on         Engines
		has, lacks []Kind
	}{
		{Engines{}, []Kind{KillRedis, PauseRedis, FlushRedis, KillPostgres, FullDisk},
			[]Kind{FailOverRedis, PauseMaster, Reshard, PromoteStandby, RestartPgBouncer}},
		{Engines{Redis: RedisCluster}, []Kind{FailOverRedis, PauseMaster, Reshard, FlushRedis}, []Kind{KillRedis, PauseRedis}},
		{Engines{Database: PostgresPgBouncer}, []Kind{RestartPgBouncer, KillPostgres, FullDisk}, []Kind{PromoteStandby}},
		{Engines{Redis: RedisCluster, Database: PostgresStandby}, []Kind{PromoteStandby, Reshard}, []Kind{KillPostgres, FullDisk, RestartPgBouncer}},
	} {
		seen := map[Kind]bool{}
		for seed := range uint64(100) {
			for _, f := range append(Plan(seed, time.Minute, 2, c.on), PlanIsolated(seed, 5*time.Minute, 2, c.on)...) {
				seen[f.Kind] = true
				if f.Line == LineRedis && c.on.Redis == RedisCluster {
					t.Fatalf("%+v: %v is no line of a cluster", c.on, f)
				}
			}
		}

		for _, k := range c.has {
			if !seen[k] {
				t.Errorf("%+v lacks %s", c.on, k)
			}
		}
		for _, k := range c.lacks {
			if seen[k] {
				t.Errorf("%+v has %s", c.on, k)
			}
		}
	}

	if told := strings.Join((Engines{Redis: RedisCluster, Database: PostgresStandby}).leftOut(), "\n"); !strings.Contains(told, "lines to redis: ") ||
		!strings.Contains(told, "full disk: ") {
		t.Errorf("left out without a reason: %q", told)
	}
	if err := (Engines{Redis: RedisServer, Database: "mysql"}).validate(); err == nil {
		t.Error("a database that is none is taken")
	}
}

// TestThePlansOfOneServerStayTheSame keeps the runs of earlier builds
// repeatable: engines with faults of their own change nothing here.
func TestThePlansOfOneServerStayTheSame(t *testing.T) {
	plan := Plan(7, time.Minute, 2, Engines{})
	var got []string
	for _, f := range plan[:4] {
		got = append(got, f.String())
	}
	if want := []string{"skew clock 1, -42.5 s", "hog", "black-hole line 1 provider down", "pause node 1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestFaultsOverlap(t *testing.T) {
	overlaps := 0
	plan := Plan(1, 5*time.Minute, 2, Engines{})
	for i, f := range plan[1:] {
		if f.At < plan[i].At+plan[i].Lasts {
			overlaps++
		}
	}

	if overlaps < len(plan)/5 {
		t.Errorf("%d of %d faults begin during another", overlaps, len(plan))
	}
}

func TestEveryKindHasASpanAndAName(t *testing.T) {
	for _, k := range allKinds {
		if _, ok := faultDurations[k]; !ok || (Fault{Kind: k}).String() == "" {
			t.Errorf("%s lacks its span or its name", k)
		}
	}

	if len(faultDurations) != len(allKinds) {
		t.Error("a span of no kind")
	}
}

func TestEachNodesClockIsOffByUpToFiveMinutesAndASeedAlwaysSaysByHowMuch(t *testing.T) {
	ahead, behind := 0, 0
	for seed := range uint64(200) {
		a, b := clockSkews(seed, 3), clockSkews(seed, 3)
		if !reflect.DeepEqual(a, b) || a[0] == a[1] {
			t.Fatalf("seed %d: %v, %v", seed, a, b)
		}

		for _, f := range Plan(seed, time.Minute, 3, Engines{}) {
			if f.Kind == SkewClock {
				a = append(a, time.Duration(f.Amount)*time.Millisecond)
			}
		}

		if len(a) < 4 {
			t.Fatalf("seed %d sets no clock", seed)
		}

		for _, d := range a {
			if d.Abs() > maxSkew {
				t.Fatalf("seed %d: %v", seed, d)
			}
			if d > time.Minute {
				ahead++
			}
			if d < -time.Minute {
				behind++
			}
		}
	}

	if ahead < 100 || behind < 100 {
		t.Errorf("%d far ahead, %d far behind", ahead, behind)
	}
}

func TestAloneEachFaultIsOverLongBeforeTheNext(t *testing.T) {
	for seed := range uint64(200) {
		length := time.Duration(10+seed) * time.Second
		plan, seen := PlanIsolated(seed, length, 2, Engines{}), map[Kind]int{}
		if len(plan) == 0 {
			t.Fatalf("seed %d breaks nothing", seed)
		}

		for i, f := range plan {
			if i > 0 && f.At < plan[i-1].At+plan[i-1].Lasts+isolationPause || f.At+f.Lasts > length {
				t.Fatalf("seed %d: %v at %v for %v of %v", seed, f, f.At, f.Lasts, length)
			}
			if seen[f.Kind]++; seen[f.Kind] > 1+i/len(Engines{}.kinds()) {
				t.Fatalf("seed %d: %v comes again before all others", seed, f)
			}
		}

		if !reflect.DeepEqual(plan, PlanIsolated(seed, length, 2, Engines{})) {
			t.Fatalf("two plans of seed %d differ", seed)
		}
	}
}
