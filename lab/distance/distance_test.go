package distance

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// values returns settings that keep a run short.
func values(t *testing.T, e finding.Experiment, given map[string]string) finding.Values {
	t.Helper()
	v, err := e.Check(given)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var small = map[string]map[string]string{
	"rtt":       {"far": "50", "window": "20", "rides": "2"},
	"slowphone": {"for": "2", "chats": "10"},
	"loss":      {"commands": "20", "delay": "5"},
}

// perform runs an experiment and checks what it tells.
func perform(t *testing.T, e finding.Experiment) finding.Finding {
	t.Helper()
	points := make(chan plot.Point, 10_000)
	run := &finding.Run{Values: values(t, e, small[e.Name]), Seed: 8, Log: slog.New(slog.DiscardHandler),
		OnPoint: func(_ string, p plot.Point) { points <- p }}
	found, err := e.Perform(t.Context(), run, finding.NoGuess)
	if err != nil {
		t.Fatal(err)
	}

	if problems := found.Problems(); len(problems) > 0 {
		t.Errorf("%s:\n%s", strings.Join(problems, "\n"), found.Text(false))
	}
	if !found.HasHeld() {
		t.Errorf("a claim does not hold:\n%s", found.Text(false))
	}
	if len(points) == 0 {
		t.Error("no point was drawn while it ran")
	}
	return found
}

func TestDistanceBoundsThroughputAndARideWaitsForSixRoundTrips(t *testing.T) {
	found := perform(t, RTT())
	if found.Seen != "B" {
		t.Errorf("seen %s:\n%s", found.Seen, found.Text(false))
	}
}

func TestASlowPhoneStaysYoungWithTheNewestAndMissesNoEvent(t *testing.T) {
	found := perform(t, SlowPhone())
	if found.Seen != "B" {
		t.Errorf("seen %s:\n%s", found.Seen, found.Text(false))
	}
	if lost := found.Figures.(map[string]any)["chat_newest_wins"].(numbered).Lost; lost == 0 {
		t.Error("chat in which the newest wins lost nothing")
	}
}

func TestOnlyAnIDInTheStoreMakesOnceOfRetries(t *testing.T) {
	found := perform(t, Loss())
	if found.Seen != "C" {
		t.Errorf("seen %s:\n%s", found.Seen, found.Text(false))
	}
}

// The exact figures depend on the seed alone.
func TestTheSeedFixesWhatIsLost(t *testing.T) {
	l := newLoss(values(t, Loss(), small["loss"]))
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
		t.Run(e.Name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan struct{}, 1)
			run := &finding.Run{Values: values(t, e, nil), Seed: 1, OnPoint: func(string, plot.Point) {
				select {
				case first <- struct{}{}:
				default:
				}
			}}
			ended := make(chan error, 1)
			go func() {
				_, err := e.Run(ctx, run)
				ended <- err
			}()

			<-first
			cancelled := time.Now()
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if took := time.Since(cancelled); took > 5*time.Second {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}

func TestNoServerWhereOneIsNamedIsOneClearError(t *testing.T) {
	run := &finding.Run{Values: values(t, RTT(), small["rtt"]), Redis: "redis://127.0.0.1:1/0"}
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

// expectBroken checks that exactly one claim does not hold.
func expectBroken(t *testing.T, claims []finding.Claim, text string) {
	t.Helper()
	for _, c := range claims {
		if c.Holds == strings.Contains(c.Text, text) {
			t.Errorf("%s: holds is %v: %s (%s)", c.Text, c.Holds, c.Got, c.Want)
		}
	}
	if !slices.ContainsFunc(claims, func(c finding.Claim) bool { return strings.Contains(c.Text, text) }) {
		t.Errorf("no claim says %q", text)
	}
}

func TestEachClaimAboutDistanceCanFail(t *testing.T) {
	r := newRTT(values(t, RTT(), nil))
	good := func() rttFigures {
		return rttFigures{redis: []speed{newSpeed("Redis", 1, time.Millisecond, 100), newSpeed("Redis", 1, cityAway, 24)},
			ride: rideFigures{Far: 260 * time.Millisecond, Near: 10 * time.Millisecond, Rides: 5, Chunks: 35}}
	}
	for _, c := range r.judgeClaims(good()) {
		if !c.Holds {
			t.Errorf("%s: %s", c.Text, c.Got)
		}
	}

	tooFast := good() // an answer that came before its request had arrived
	tooFast.redis[1] = newSpeed("Redis", 1, cityAway, 26)
	expectBroken(t, r.judgeClaims(tooFast), "never above")

	slow := good() // a client that waits for a second answer
	slow.redis[1] = newSpeed("Redis", 1, cityAway, 12)
	expectBroken(t, r.judgeClaims(slow), "half")

	chatty := good() // phones that ask once more on each ride
	chatty.ride.Chunks += 5
	expectBroken(t, r.judgeClaims(chatty), "6 round trips")
	cheat := good() // phones beside the node
	cheat.ride.Far = cheat.ride.Near
	expectBroken(t, r.judgeClaims(cheat), "6 round trips")
}

// The broken way takes the place of the repair, with the figures of a real run.
func TestEachClaimAboutASlowPhoneCanFail(t *testing.T) {
	s := newSlowPhone(values(t, SlowPhone(), map[string]string{"for": "4", "chats": "20"}))
	found, _, err := s.run(t.Context(), &finding.Run{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}

	queued := found
	queued.newest = found.queue
	expectBroken(t, s.judgeClaims(queued), "stays young")

	fresh := found
	fresh.queue = found.newest
	expectBroken(t, s.judgeClaims(fresh), "grows old")

	overwritten := found
	overwritten.chat = found.brokenChat
	expectBroken(t, s.judgeClaims(overwritten), "none lost")
}

func TestEachClaimAboutLossCanFail(t *testing.T) {
	l := newLoss(values(t, Loss(), small["loss"]))
	found, _, err := l.run(t.Context(), &finding.Run{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}

	repeated := found
	repeated.effects[neverAgain] = found.effects[newIDs]
	expectBroken(t, l.judgeClaims(repeated), "at most once")

	remembered := found
	remembered.effects[newIDs] = found.effects[idInStore]
	expectBroken(t, l.judgeClaims(remembered), "at least once")

	forgotten := found
	forgotten.effects[idInStore] = found.effects[idInMemory]
	expectBroken(t, l.judgeClaims(forgotten), "id kept")

	datagrams := found
	datagrams.tcp = slices.Clone(found.tcp)
	datagrams.tcp[0].Lost = 1
	expectBroken(t, l.judgeClaims(datagrams), "TCP")
	whole := found
	whole.tcp = found.tcp[:1]
	expectBroken(t, l.judgeClaims(whole), "TCP")
}
