package events_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
)

const settlements = "settlements"

var (
	marina = location.Point{Lng: 3.42, Lat: 6.43}
	fare   = trips.Quote{Fare: trips.Money{Minor: 123_400, Currency: "NGN"}}
	silent = slog.New(slog.DiscardHandler)
)

func newRequest(t *testing.T, name string) trips.Command {
	ev, err := trips.Request(trips.TripID(name), trips.RiderID(name), marina, marina, fare, time.Now())
	if err != nil {
		t.Error(err)
	}
	return trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: name, Fingerprint: "request"}, Event: ev}
}

// startRedis adds flags to those of compose.yaml.
func startRedis(t *testing.T, more ...string) *processtest.Server {
	t.Helper()
	return processtest.Redis(t, append(processtest.ComposeFlags(t, "redis-server"), more...)...)
}

func openRedis(t *testing.T, url string) *events.Redis {
	t.Helper()
	r, err := events.Open(t.Context(), url, events.WithLog(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestEveryQueuedJobSurvivesAKilledRedis(t *testing.T) {
	const hands, jobs = 20, 5000
	server := startRedis(t)

	r := openRedis(t, server.URL)
	var crowd sync.WaitGroup
	for hand := range hands {
		crowd.Go(func() {
			for i := hand; i < jobs; i += hands {
				id := fmt.Sprint("trip ", i)
				if err := r.EnqueueJob(t.Context(), settlements, id, []byte(id)); err != nil {
					t.Error(err)
				}
			}
		})
	}

	crowd.Wait()
	awaitWritten(t, server.Address)
	server.Kill()
	server.Start()
	if left := countOutstanding(t, r); left != jobs {
		t.Errorf("%d of %d queued jobs are gone", jobs-left, jobs)
	}
}

// awaitWritten waits until Redis has handed all that it acked to the system,
// which keeps it when Redis is killed. Mostly that happens before the ack;
// while the disk is slow to sync, up to two seconds later.
func awaitWritten(t *testing.T, address string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, 8192)
	for {
		if _, err := conn.Write([]byte("INFO persistence\r\n")); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatalf("Redis does not get its file written: %v", err)
		}
		if told := answer[:n]; !bytes.Contains(told, []byte("aof_buffer_length:")) || bytes.Contains(told, []byte("aof_buffer_length:0\r\n")) {
			return
		}

		time.Sleep(20 * time.Millisecond)
	}
}

func countOutstanding(t *testing.T, r *events.Redis) int64 {
	t.Helper()
	left, err := r.CountOutstanding(t.Context(), settlements)
	for try := 0; err != nil && try < 100; try++ {
		// The next command may still get a connection from before the kill.
		time.Sleep(20 * time.Millisecond)
		left, err = r.CountOutstanding(t.Context(), settlements)
	}

	if err != nil {
		t.Fatal(err)
	}
	return left
}

// TestARedisThatForgotItsJobsGetsThemFromTheDatabase has a Redis that keeps
// snapshots only, and is killed before one.
func TestARedisThatForgotItsJobsGetsThemFromTheDatabase(t *testing.T) {
	const rides = 200
	server := startRedis(t, "--appendonly", "no")
	r := openRedis(t, server.URL)
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "city.db"), sqlite.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })

	for i := range rides {
		id := completeTrip(t, store, fmt.Sprint("t", i))
		if err := r.EnqueueJob(t.Context(), settlements, string(id), nil); err != nil {
			t.Fatal(err)
		}
	}

	server.Kill()
	server.Start()
	if left := countOutstanding(t, r); left != 0 {
		t.Fatalf("Redis kept %d jobs, which makes this test one of nothing", left)
	}
	ledger, settler := newBank(t, store)
	lost := make(chan struct{}, 1)
	worker := &events.Worker{Redis: r, Stream: settlements, Consumer: "n", Handle: settler.HandleJob,
		OnQueueLost: func() { lost <- struct{}{} }}
	reconciler := &payments.Reconciler{Charges: store, Refunds: store, Queue: r, Stream: settlements, QueueLost: lost,
		Budget: settler.Budget, Now: time.Now, Log: silent}
	startWork(t, worker.Run, reconciler.Run)
	waitUntil(t, "all rides are paid", func() bool { return len(ledger.Entries()) >= rides && countOutstanding(t, r) == 0 })
	if n := len(ledger.Entries()); n != rides {
		t.Errorf("%d charges for %d rides", n, rides)
	}
}

// completeTrip rides a trip from its request to its end.
func completeTrip(t *testing.T, store *sqlite.Store, name string) trips.TripID {
	t.Helper()
	move, driver := newRequest(t, name), trips.DriverID("driver of "+name)
	by := trips.Driver(driver)
	for _, next := range []trips.Transition{
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Reserve(driver, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Arrive(by, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Start(by, at) },
		func(trip trips.Trip, at time.Time) (trips.Event, error) { return trip.Complete(by, at) },
		nil,
	} {
		ev, err := store.Apply(t.Context(), move)
		if err == nil && next != nil {
			ev, err = next(ev.Trip, time.Now())
			move = trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: fmt.Sprint(name, ev.Seq())}, Event: ev}
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	return trips.TripID(name)
}

// newBank returns a provider's ledger and a settler that charges there.
func newBank(t *testing.T, store *sqlite.Store) (*provider.Ledger, *payments.Settler) {
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	server := httptest.NewServer(provider.NewEmulator(provider.Config{Secret: "sk"}, ledger))
	t.Cleanup(server.Close)
	return ledger, &payments.Settler{Trips: store, Charges: store, Refunds: store, Now: time.Now, Budget: new(payments.Budget),
		Provider: &payments.HTTPProvider{URL: server.URL, Secret: "sk", Client: server.Client()}}
}

// startWork runs functions until the test ends.
func startWork(t *testing.T, runs ...func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var team sync.WaitGroup
	for _, run := range runs {
		team.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { stop(); team.Wait() })
}

func waitUntil(t *testing.T, what string, true func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !true(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// TestAJobWhoseReplyWasLostHasOneEffect queues jobs over a line that loses the
// reply to each first attempt. Whether the library or the caller asks again,
// there are two entries then, and their name says that they are one job.
func TestAJobWhoseReplyWasLostHasOneEffect(t *testing.T) {
	const jobs = 20
	server := startRedis(t)
	lossy := newLossy(t, server.Address)
	r := openRedis(t, "redis://"+lossy.address+"/0")
	for i := range jobs {
		lossy.armed.Store(true)
		id := fmt.Sprint("t", i)
		if err := r.EnqueueJob(t.Context(), settlements, id, []byte(id)); err != nil {
			// The relay asks again in the same way.
			err = r.EnqueueJob(t.Context(), settlements, id, []byte(id))
			if err != nil {
				t.Fatal(err)
			}
		}
	}

	if n := countOutstanding(t, r); n != 2*jobs {
		t.Fatalf("%d entries of %d jobs, want two of each", n, jobs)
	}
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	worker := &events.Worker{Redis: openRedis(t, server.URL), Stream: settlements, Consumer: "n",
		Handle: func(_ context.Context, id string, _ []byte) error {
			_, err := ledger.Append(provider.Entry{Reference: payments.ChargeReference(trips.TripID(id)), Status: "success", Amount: 1})
			if errors.Is(err, provider.ErrDuplicate) {
				return nil
			}
			return err
		}}

	startWork(t, worker.Run)
	waitUntil(t, "all jobs are done", func() bool { return countOutstanding(t, r) == 0 })
	if n := len(ledger.Entries()); n != jobs {
		t.Errorf("%d charges for %d jobs", n, jobs)
	}
}

// TestAnAckThatIsCutInTheMiddleLeavesNoEntry ends the connection between the
// two commands of an ack. An entry that is acknowledged and not deleted is
// neither delivered again nor gone.
func TestAnAckThatIsCutInTheMiddleLeavesNoEntry(t *testing.T) {
	server := startRedis(t)
	lossy := newLossy(t, server.Address)
	r := openRedis(t, server.URL)
	if err := r.EnqueueJob(t.Context(), settlements, "t", []byte("t")); err != nil {
		t.Fatal(err)
	}

	var done atomic.Int64
	worker := &events.Worker{Redis: openRedis(t, "redis://"+lossy.address+"/0"), Stream: settlements, Consumer: "n",
		Heartbeat: 50 * time.Millisecond, Handle: func(context.Context, string, []byte) error {
			lossy.cuts.Store(done.Add(1) == 1)
			return nil
		}}
	startWork(t, worker.Run)
	waitUntil(t, "the job is done again and gone", func() bool { return done.Load() > 1 && countOutstanding(t, r) == 0 })
}

// lossyProxy is a line to a server that, once it is armed, loses the next reply
// and the connection with it. While it cuts, connections end before the next
// XDEL.
type lossyProxy struct {
	address string
	armed   atomic.Bool
	cuts    atomic.Bool
}

func newLossy(t *testing.T, to string) *lossyProxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l := &lossyProxy{address: ln.Addr().String()}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}

			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}

			pipes.Go(func() { l.carryRequests(far, near); _ = far.Close() })
			pipes.Go(func() { l.carryReplies(near, far); _ = near.Close(); _ = far.Close() })
		}
	})

	// This runs after the clients are closed.
	t.Cleanup(func() { _ = ln.Close(); pipes.Wait() })
	return l
}

func (l *lossyProxy) carryRequests(far, near net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := near.Read(buf)
		if err != nil {
			return
		}
		at := bytes.Index(buf[:n], []byte("xdel"))
		cut := at >= 0 && l.cuts.Load()
		if cut {
			n = at
		}
		if _, err := far.Write(buf[:n]); err != nil || cut {
			return
		}
	}
}

func (l *lossyProxy) carryReplies(near, far net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := far.Read(buf)
		if err != nil || l.armed.CompareAndSwap(true, false) {
			return
		}
		if _, err := near.Write(buf[:n]); err != nil {
			return
		}
	}
}
