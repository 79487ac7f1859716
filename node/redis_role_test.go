package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/trips"
)

// readyAnswer returns what an API of a node answers to /readyz.
func readyAnswer(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// lineLog keeps lines; it may be written to from many goroutines.
type lineLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lineLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

// requestTrips requests trips in the store, as a busy minute would.
func requestTrips(t *testing.T, n *node.Node, name string, count int) {
	t.Helper()
	marina := location.Point{Lng: 3.42, Lat: 6.43}
	for i := range count {
		id := fmt.Sprint(name, i)
		ev, err := trips.Request(trips.TripID(id), trips.RiderID(id), marina, marina,
			trips.Quote{Fare: trips.Money{Minor: 1000, Currency: "NGN"}}, time.Now())
		if err == nil {
			_, err = n.Store().Apply(t.Context(), trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: id}, Event: ev})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestANodeWhoseRedisIsDemotedSaysSoAndLosesNoEvent(t *testing.T) {
	slowtest.Require(t)
	server, other := processtest.Redis(t, "--save", ""), processtest.Redis(t, "--save", "")
	admin := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = admin.Close() })

	var mu sync.Mutex // guards heard
	heard := map[trips.TripID]bool{}
	log := new(lineLog)
	n := startNode(t, node.Config{Name: "one", Database: filepath.Join(t.TempDir(), "ridehail.db"), Redis: server.URL,
		Log: slog.New(slog.NewTextHandler(log, nil)),
		OnTripEvent: func(ev trips.Event) {
			mu.Lock()
			defer mu.Unlock()
			heard[ev.Trip.ID] = true
		}})
	awaitReady := func(want int, reason string) {
		t.Helper()
		await(t, fmt.Sprintf("/readyz %d %s", want, reason), func() bool {
			status, body := readyAnswer(t, n.AdminURL())
			return status == want && strings.Contains(body, reason)
		}, func() string { _, body := readyAnswer(t, n.AdminURL()); return body })
	}

	awaitReady(http.StatusOK, "")
	requestTrips(t, n, "before", 20)
	host, port, _ := strings.Cut(other.Address, ":")
	if err := admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	awaitReady(http.StatusServiceUnavailable, "redis: this server is a replica")
	if status, body := readyAnswer(t, n.PublicURL()); status != http.StatusServiceUnavailable || strings.Contains(body, "replica") {
		t.Errorf("the public is told %d %s", status, body)
	}

	requestTrips(t, n, "during", 100)
	began, before := time.Now(), len(log.lines())
	for time.Since(began) < 3*time.Second {
		readyAnswer(t, n.AdminURL())
		readyAnswer(t, n.PublicURL())
	}
	if lines := log.lines()[before:]; len(lines) > 5 {
		t.Errorf("in three seconds it logged %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}

	if err := admin.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	awaitReady(http.StatusOK, "")
	requestTrips(t, n, "after", 20)
	await(t, "all 140 trips to be heard of", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) == 140
	}, func() string { mu.Lock(); defer mu.Unlock(); return fmt.Sprint(len(heard), " were") })
}

func TestANodeDoesNotStartOnAReplica(t *testing.T) {
	server, other := processtest.Redis(t, "--save", ""), processtest.Redis(t, "--save", "")
	admin := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = admin.Close() })
	host, port, _ := strings.Cut(other.Address, ":")
	if err := admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}

	cfg := node.Config{Name: "one", Listen: "127.0.0.1:0", Database: filepath.Join(t.TempDir(), "ridehail.db"), City: "1",
		Redis: server.URL, Secret: []byte("of this test, with more than 32 bytes"), Log: slog.New(slog.DiscardHandler)}
	err := node.Run(t.Context(), cfg, func(*node.Node) { t.Error("it started") })
	if !errors.Is(err, node.ErrUnreachable) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "give the address of its primary") || !strings.Contains(err.Error(), server.Address) {
		t.Errorf("it says %v", err)
	}
}
