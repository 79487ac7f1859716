package distance

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/finding/findingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small are settings that keep a run short.
var small = map[string]map[string]string{
	"rtt":       {"far": "50", "window": "20", "rides": "2"},
	"slowphone": {"for": "2", "chats": "10"},
	"loss":      {"commands": "20", "delay": "5"},
}

// checkSmall performs a small run in which all claims hold and an option comes
// true.
func checkSmall(t *testing.T, e finding.Experiment, seen string) finding.Finding {
	t.Helper()
	var points atomic.Int64
	run := findingtest.NewRun(t, e, small[e.Name])
	run.Seed, run.OnPoint = 8, func(string, plot.Point) { points.Add(1) }
	f := findingtest.CheckShown(t, e, run)

	findingtest.CheckFailing(t, f.Claims)
	if f.Seen != seen || points.Load() == 0 {
		t.Errorf("seen %q, want %q; %d points were drawn while it ran", f.Seen, seen, points.Load())
	}
	return f
}

func TestDistanceBoundsThroughputAndARideWaitsForSixRoundTrips(t *testing.T) {
	checkSmall(t, RTT(), "B")
}

func TestASlowPhoneStaysYoungWithTheNewestAndMissesNoEvent(t *testing.T) {
	f := checkSmall(t, SlowPhone(), "B")
	if f.Figures.(map[string]any)["chat_newest_wins"].(numbered).Lost == 0 {
		t.Error("chat in which the newest wins lost nothing")
	}
}

func TestOnlyAnIDInTheStoreMakesOnceOfRetries(t *testing.T) { checkSmall(t, Loss(), "C") }

func TestDistanceBoundsRealServersToo(t *testing.T) {
	run := findingtest.NewRun(t, RTT(), small["rtt"])
	run.Redis, run.Database = findingtest.RequireServer(t, findingtest.Redis), findingtest.RequireServer(t, findingtest.Postgres)
	findingtest.CheckFailing(t, findingtest.CheckShown(t, RTT(), run).Claims)
}

// The exact figures depend on the seed alone.
func TestTheSeedFixesWhatIsLost(t *testing.T) {
	l := newLoss(findingtest.NewRun(t, Loss(), small["loss"]).Values)
	var before [ways][faults]outcome
	for i := range 2 {
		var found [ways][faults]outcome
		for w := range ways {
			if err := l.tryWay(t.Context(), &finding.Run{Seed: 9}, w, &found[w]); err != nil {
				t.Fatal(err)
			}
		}
		if i > 0 && found != before {
			t.Errorf("%+v, then %+v", before, found)
		}
		before = found
	}
}

func TestAnExperimentEndsWithItsContextAndLeavesNothing(t *testing.T) {
	for _, e := range []finding.Experiment{RTT(), SlowPhone(), Loss()} {
		t.Run(e.Name, func(t *testing.T) { findingtest.CheckStops(t, e, findingtest.NewRun(t, e, nil)) })
	}
}

func TestNoServerWhereOneIsNamedIsOneClearError(t *testing.T) {
	run := findingtest.NewRun(t, RTT(), small["rtt"])
	run.Redis = "redis://127.0.0.1:1/0"
	if _, err := RTT().Perform(t.Context(), run, finding.NoGuess); !errors.Is(err, finding.ErrUnreachable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error(err)
	}

	for _, address := range []string{"rediss://127.0.0.1/0", "redis://", "127.0.0.1:6379", "redis://%zz"} {
		if _, err := parseRedis(address); !errors.Is(err, finding.ErrUsage) || !strings.Contains(err.Error(), "redis://HOST:PORT/DB") {
			t.Errorf("%s: %v", address, err)
		}
	}
	s, err := parseRedis("redis://ada:secret@localhost/3")
	if want := (redisServer{"localhost:6379", "ada", "secret", "3"}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAServerWithoutAPortHasTheUsualOne(t *testing.T) {
	for text, want := range map[string]string{"redis://h/0": "h:6379", "postgres://ada@h/city": "h:5432", "postgresql://[::1]/city": "[::1]:5432", "http://h:80": "h:80"} {
		u, err := url.Parse(text)
		if err != nil || hostPort(u) != want {
			t.Errorf("%s: %s, %v; want %s", text, hostPort(u), err, want)
		}
	}
}

func TestEachClaimAboutDistanceCanFail(t *testing.T) {
	r := newRTT(findingtest.NewRun(t, RTT(), nil).Values)
	good := func() rttFigures {
		return rttFigures{redis: []speed{newSpeed("Redis", 1, time.Millisecond, 100), newSpeed("Redis", 1, cityAway, 24)},
			ride: rideFigures{Far: 260 * time.Millisecond, Near: 10 * time.Millisecond, Rides: 5, Chunks: 35}}
	}
	findingtest.CheckFailing(t, r.judgeClaims(good()))

	tooFast := good() // an answer that came before its request had arrived
	tooFast.redis[1] = newSpeed("Redis", 1, cityAway, 26)
	findingtest.CheckFailing(t, r.judgeClaims(tooFast), 0)

	slow := good() // a client that waits for a second answer
	slow.redis[1] = newSpeed("Redis", 1, cityAway, 12)
	findingtest.CheckFailing(t, r.judgeClaims(slow), 1)

	chatty := good() // phones that ask once more on each ride
	chatty.ride.Chunks += 5
	findingtest.CheckFailing(t, r.judgeClaims(chatty), 2)

	cheat := good() // phones beside the node
	cheat.ride.Far = cheat.ride.Near
	findingtest.CheckFailing(t, r.judgeClaims(cheat), 2)
}

// The broken way takes the place of the repair, with the figures of a real run.
func TestEachClaimAboutASlowPhoneCanFail(t *testing.T) {
	s := newSlowPhone(findingtest.NewRun(t, SlowPhone(), map[string]string{"for": "4", "chats": "20"}).Values)
	found, _, err := s.run(t.Context(), &finding.Run{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}

	queued := found
	queued.newest = found.queue
	findingtest.CheckFailing(t, s.judgeClaims(queued), 0)

	fresh := found
	fresh.queue = found.newest
	findingtest.CheckFailing(t, s.judgeClaims(fresh), 1)

	overwritten := found
	overwritten.chat = found.brokenChat
	findingtest.CheckFailing(t, s.judgeClaims(overwritten), 2)
}

func TestEachClaimAboutLossCanFail(t *testing.T) {
	l := newLoss(findingtest.NewRun(t, Loss(), small["loss"]).Values)
	found, _, err := l.run(t.Context(), &finding.Run{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}

	repeated := found
	repeated.effects[neverAgain] = found.effects[newIDs]
	findingtest.CheckFailing(t, l.judgeClaims(repeated), 0)

	remembered := found
	remembered.effects[newIDs] = found.effects[idInStore]
	findingtest.CheckFailing(t, l.judgeClaims(remembered), 1)

	forgotten := found
	forgotten.effects[idInStore] = found.effects[idInMemory]
	findingtest.CheckFailing(t, l.judgeClaims(forgotten), 2)

	datagrams := found
	datagrams.tcp = slices.Clone(found.tcp)
	datagrams.tcp[0].Lost = 1
	findingtest.CheckFailing(t, l.judgeClaims(datagrams), 3)

	whole := found
	whole.tcp = found.tcp[:1]
	findingtest.CheckFailing(t, l.judgeClaims(whole), 3)
}
