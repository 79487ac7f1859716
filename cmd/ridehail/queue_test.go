package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"github.com/ridehail/ridehail/events"
)

// TestAnOperatorReadsWhyJobsWereGivenUpAndPutsThemBack uses its own stream, so
// that the server may be shared.
func TestAnOperatorReadsWhyJobsWereGivenUpAndPutsThemBack(t *testing.T) {
	url := os.Getenv("RIDEHAIL_TEST_REDIS")
	if url == "" {
		url = "redis://" + miniredis.RunT(t).Addr() + "/0"
	}

	stream := "settlements-" + uuid.NewString()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	r, err := events.Open(ctx, url, events.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	dead := make(chan string, 2)
	w := &events.Worker{Redis: r, Stream: stream, Consumer: "a", MaxDeliveries: 1,
		Handle:       func(context.Context, string, []byte) error { return errors.New("the card was eaten") },
		OnDeadLetter: func(j events.Job, _ error) { dead <- j.ID }}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	for _, id := range []string{"trip-1", "trip-2"} {
		if err := r.EnqueueJob(ctx, stream, id, nil); err != nil {
			t.Fatal(err)
		}
		<-dead
	}

	cancel()
	<-ended

	queue := func(want int, args ...string) string {
		t.Helper()
		p := start(t, append([]string{"queue", args[0], "--redis", url, "--stream", stream}, args[1:]...)...)
		if code := p.wait(t); code != want {
			t.Fatalf("queue %v: exit %d, want %d: %s", args, code, want, p.logs.String())
		}
		return p.out.String()
	}

	list := func() (q queueReport) {
		t.Helper()
		if err := json.Unmarshal([]byte(queue(exitDone, "list", "--json")), &q); err != nil {
			t.Fatal(err)
		}
		return q
	}

	q := list()
	if q.Undone != 0 || len(q.Dead) != 2 || q.Dead[0].Job != "trip-1" || q.Dead[0].Why != "the card was eaten" || q.Dead[0].At.IsZero() {
		t.Fatalf("listed %+v", q)
	}
	if text := queue(exitDone, "list"); !strings.Contains(text, "0 undone, 2 given up") || !strings.Contains(text, q.Dead[1].Entry) {
		t.Errorf("listed %s", text)
	}

	queue(exitUsage, "retry")
	queue(exitUsage, "retry", "--all", q.Dead[0].Entry)
	queue(exitDone, "retry", q.Dead[0].Entry)
	queue(exitFailed, "retry", q.Dead[0].Entry) // it is on its way already
	for _, entry := range []string{"settlements", "+", "5", "5-", "\xff", "99999999999999999999-0", "5-0-0"} {
		queue(exitFailed, "retry", entry)
	}
	if now := list(); now.Undone != 1 || len(now.Dead) != 1 || now.Dead[0].Entry != q.Dead[1].Entry {
		t.Errorf("after one was put back: %+v", now)
	}
	queue(exitDone, "retry", "--all")
	if now := list(); now.Undone != 2 || len(now.Dead) != 0 {
		t.Errorf("after all were put back: %+v", now)
	}
}
