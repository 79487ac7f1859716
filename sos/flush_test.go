package sos_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const waitLimit = 20 * time.Second

// runDuring runs work in goroutines while do is called, and waits for their
// end.
func runDuring(t *testing.T, do func(), run ...func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var team sync.WaitGroup
	for _, r := range run {
		team.Go(func() { _ = r(ctx) }) // what it is stopped by
	}
	defer team.Wait()
	defer stop()
	do()
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(waitLimit); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, waitLimit)
		}
	}
}

func newRedis(t *testing.T) *events.Redis {
	t.Helper()
	r, err := events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestACallIsRaisedAlthoughRedisForgotItsJob(t *testing.T) {
	c := newFixture()
	if _, err := c.RequestHelp(t.Context(), rider, c.reserveTrip(t), "1", ""); err != nil {
		t.Fatal(err)
	}

	first := newRedis(t)
	relay := events.NewRelay(first, c.store, events.RelayConfig{Node: "n", Streams: map[trips.Kind]string{sos.KindSOS: "alerts"}})
	runDuring(t, func() {
		waitUntil(t, "the call is queued and out of the outbox", func() bool {
			n, _ := first.CountOutstanding(t.Context(), "alerts")
			told, _, err := c.store.Backlog(t.Context())
			return n == 1 && told == 0 && err == nil
		})
	}, relay.Run)

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := newRedis(t) // with nothing in it
	defer second.Close()

	w := sos.NewNotifier(sos.NotifierConfig{Store: c.store, Queue: second, Stream: "alerts", Interval: 10 * time.Millisecond,
		Registerer: prometheus.NewRegistry(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	worker := &events.Worker{Redis: second, Stream: "alerts", Consumer: "n", Handle: w.HandleJob}
	runDuring(t, func() {
		waitUntil(t, "the call is raised", func() bool {
			open, err := c.store.OpenAlerts(t.Context(), 1)
			return err == nil && len(open) == 1 && !open[0].NotifiedAt.IsZero()
		})
	}, worker.Run, w.Run)
}
