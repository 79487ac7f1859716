package waiting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// The ways to get a ride paid, by their numbers.
const (
	direct = iota
	byQueue
	perTry
	ackFirst
)

var wayNames = [...]string{"direct", "queue", "queue, new reference", "queue, ack first"}

const settlementStream = "settlements"

// outageFigures are what was counted of one way.
type outageFigures struct {
	Name      string         `json:"name"`
	Rides     int            `json:"rides"`
	Refused   int            `json:"refused"`
	Taken     int            `json:"taken"`  // charges in the provider's ledger
	Booked    int            `json:"booked"` // charges in the store
	Lost      int64          `json:"answers_lost"`
	Jobs      int            `json:"jobs"`
	Delivered int64          `json:"deliveries"`
	Letters   map[string]int `json:"dead_letters"` // by job
	Top       int            `json:"top"`          // of the backlog
	Empty     float64        `json:"empty_after"`  // seconds after the outage; negative: not in this run
	// Of the rides that were paid: the area below the backlog, and their waits
	// for it added up, both in ride seconds. Little's law says they are equal.
	Area  float64 `json:"area"`
	Waits float64 `json:"waits"`

	took     []time.Duration // of ending a ride
	backlog  []plot.Point
	refusals []plot.Point // so far
	addr     string
	calls    int64
}

// wayRun is one way with a store, a provider and a queue of its own.
type wayRun struct {
	plan    outagePlan
	number  int
	begin   time.Time
	times   []time.Duration // when rides end
	onPoint func(x, y float64)

	db      store.Store
	service *trips.Service
	charger payments.Provider

	refused, ended atomic.Int64
	unpaid         int // at the last look, by the goroutine of endRides
	figs           outageFigures
}

// runProvider runs all ways side by side.
func runProvider(ctx context.Context, run *finding.Run) (finding.Result, error) {
	plan := newOutagePlan(run.Values)
	folder, err := os.MkdirTemp("", "ridehail-lab-provider-")
	if err != nil {
		return finding.Result{}, fmt.Errorf("a folder for the databases: %w", err)
	}
	defer os.RemoveAll(folder)

	times := scheduleEvenly(rand.New(rand.NewPCG(run.Seed, 12)), plan.rate, plan.runLength())
	if err := prepareRides(ctx, booksPath(folder, 0), len(times)); err != nil {
		return finding.Result{}, err
	}
	for way := 1; way < len(wayNames); way++ {
		if err := copyFile(booksPath(folder, 0), booksPath(folder, way)); err != nil {
			return finding.Result{}, err
		}
	}

	curves := map[int]string{direct: curveDirect, byQueue: curveQueue, ackFirst: curveAckFirst}
	figures, errs := make([]outageFigures, len(wayNames)), make([]error, len(wayNames))
	begin := time.Now().Add(300 * time.Millisecond)

	var running sync.WaitGroup
	for i := range wayNames {
		running.Go(func() {
			w := &wayRun{plan: plan, number: i, begin: begin, times: times, onPoint: func(x, y float64) {
				if name := curves[i]; name != "" {
					run.Point(name, x, y)
				}
			}}
			figures[i], errs[i] = w.run(ctx, booksPath(folder, i), run.Seed)
		})
	}
	running.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return finding.Result{}, err
	}
	return plan.buildResult(figures), nil
}

// run opens what the way needs, ends all rides at their times, and returns when
// all is closed.
func (w *wayRun) run(ctx context.Context, path string, seed uint64) (outageFigures, error) {
	db, closeDB, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return w.figs, err
	}
	ledger, err := provider.OpenLedger("")
	if err != nil {
		return w.figs, errors.Join(err, closeDB())
	}

	var counts provider.Counts
	emulator := provider.NewEmulator(provider.Config{Secret: secret, Counts: &counts,
		Faults: provider.Faults{Seed: seed, LoseReply: w.plan.lost}}, ledger)
	failing := &failingProvider{plan: w.plan, next: emulator, begin: w.begin}
	at, err := serveHandler(failing)
	if err != nil {
		return w.figs, errors.Join(err, closeDB())
	}
	client := newClient(64)

	w.db, w.service = db, &trips.Service{Store: db, Now: time.Now}
	w.charger = &payments.HTTPProvider{URL: at.URL, Secret: secret, Timeout: providerTimeout, Client: client}
	w.figs = outageFigures{Name: wayNames[w.number], Rides: len(w.times), Letters: map[string]int{}, addr: at.Addr}

	if w.number == direct {
		w.endRides(ctx, w.endDirectly, func() bool { return true })
	} else {
		err = w.runQueue(ctx)
	}

	client.CloseIdleConnections()
	at.Close()
	emulator.Close()
	err = errors.Join(err, w.balanceBooks(ctx, ledger))
	w.figs.Lost, w.figs.calls = counts.AnswersLost.Load(), failing.calls.Load()
	return w.figs, errors.Join(err, closeDB(), ctx.Err())
}

// tick is the time between two looks at the backlog.
const tick = 50 * time.Millisecond

// patience is how much longer than planned a run may last on a busy machine.
const patience = 20 * time.Second

// endRides ends each ride at its time and looks at the backlog, until the run is
// over and isDone, or has lasted far too long.
func (w *wayRun) endRides(ctx context.Context, end func(context.Context, int) error, isDone func() bool) {
	w.figs.took = make([]time.Duration, len(w.times))
	var ending sync.WaitGroup
	for i, at := range w.times {
		ending.Go(func() {
			if !sleep.Until(ctx, w.begin.Add(at)) {
				return
			}
			began := time.Now()
			if err := end(ctx, i); err != nil {
				w.refused.Add(1)
			}
			w.figs.took[i] = time.Since(began)
			w.ended.Add(1)
		})
	}

	over := w.begin.Add(w.plan.chartEnd())
	sleep.Until(ctx, w.begin)
	for next := w.begin; ctx.Err() == nil; next = next.Add(tick) {
		w.watchBacklog(ctx)
		late := time.Since(over)
		if late >= 0 && int(w.ended.Load()) == len(w.times) && isDone() || late > patience {
			break
		}
		sleep.Until(ctx, next.Add(tick))
	}
	ending.Wait()
	w.figs.Refused = int(w.refused.Load())
}

// watchBacklog measures the backlog: rides that ended and are not paid.
func (w *wayRun) watchBacklog(ctx context.Context) {
	before := time.Since(w.begin)
	unpaid, err := w.db.UnchargedTrips(ctx, time.Now().Add(time.Hour), 10_000)
	if err != nil {
		return // ctx ended, or the next look tells
	}

	w.unpaid = len(unpaid)
	x, y := (before+time.Since(w.begin)).Seconds()/2, float64(w.unpaid)
	w.figs.backlog = append(w.figs.backlog, plot.Point{X: x, Y: y})
	refused := float64(w.refused.Load())
	w.figs.refusals = append(w.figs.refusals, plot.Point{X: x, Y: refused})
	if w.number == direct {
		y = refused
	}
	w.onPoint(x, y)
}

// endDirectly ends a ride with the provider's answer.
func (w *wayRun) endDirectly(ctx context.Context, i int) error {
	order := orderCharge(payments.ChargeReference(rideID(i)))
	return broken.ChargeThenComplete(ctx,
		func(ctx context.Context) (payments.Payment, error) { return w.charger.Charge(ctx, order) },
		func(ctx context.Context, p payments.Payment) error {
			if err := completeRide(ctx, w.service, i); err != nil {
				return err
			}
			_, err := w.db.RecordCharge(ctx, payments.Charge{Trip: rideID(i), Reference: p.Reference, Amount: p.Amount,
				ProviderID: p.ID, At: time.Now()})
			return err
		})
}

// runQueue ends the rides as the app does, with a job left for each, and works
// on the jobs. Of the app's ways only the reconciler is left out: it would find
// what the queue loses.
func (w *wayRun) runQueue(ctx context.Context) error {
	quiet := slog.New(slog.DiscardHandler)
	redis, err := events.OpenEmbedded(events.WithLog(quiet))
	if err != nil {
		return err
	}

	working, stop := context.WithCancel(ctx)
	var parts, afterAck sync.WaitGroup

	relay := events.NewRelay(redis, w.db, events.RelayConfig{Node: "lab", Streams: map[trips.Kind]string{trips.KindCompleted: settlementStream}})
	w.service.OnCommitted = func(trips.Event) { relay.Wake() }
	worker := &events.Worker{Redis: redis, Stream: settlementStream, Consumer: "lab", Concurrency: workers,
		Heartbeat: 25 * time.Millisecond, MaxDeliveries: 16, Handle: w.newHandler(working, &afterAck)}

	parts.Go(func() { _ = relay.Run(working) }) // the errors are the context's
	parts.Go(func() { _ = worker.Run(working) })

	for i := range poisonJobs {
		err = errors.Join(err, enqueueJob(ctx, redis, settlementStream, poisonJob(i)))
	}
	if err == nil {
		w.endRides(ctx, func(ctx context.Context, i int) error { return completeRide(ctx, w.service, i) }, func() bool {
			left, err := redis.CountOutstanding(ctx, settlementStream)
			return w.number == ackFirst || err == nil && left == 0 && w.unpaid == 0
		})
	}

	stop()
	parts.Wait()
	afterAck.Wait()

	letters, letterErr := redis.DeadLetters(context.WithoutCancel(ctx), settlementStream, 1000)
	for _, l := range letters {
		w.figs.Letters[l.ID]++
	}
	return errors.Join(err, letterErr, redis.Close())
}

// poisonJob names a job about a ride that does not exist: no repetition will
// ever settle it.
func poisonJob(i int) string { return fmt.Sprintf("no-such-ride-%d", i) }

// newHandler returns the handler of the way's jobs, which counts deliveries.
func (w *wayRun) newHandler(ctx context.Context, afterAck *sync.WaitGroup) func(context.Context, string, []byte) error {
	charger := w.charger
	if w.number == perTry {
		charger = &broken.ReferencePerTry{Provider: charger}
	}

	// One try for each delivery: it is the queue that tries again.
	settler := &payments.Settler{Trips: w.db, Charges: w.db, Refunds: w.db, Provider: charger, Now: time.Now, MaxTries: 1}
	handle := settler.HandleJob
	if w.number == ackFirst {
		handle = broken.AckFirst(ctx, afterAck, settler.HandleJob)
	}

	var mu sync.Mutex
	seen := map[string]bool{}
	return func(ctx context.Context, jobID string, payload []byte) error {
		mu.Lock()
		seen[jobID] = true
		w.figs.Jobs = len(seen)
		w.figs.Delivered++
		mu.Unlock()
		return handle(ctx, jobID, payload)
	}
}

// balanceBooks compares the store with the provider's ledger.
func (w *wayRun) balanceBooks(ctx context.Context, ledger *provider.Ledger) error {
	for _, e := range ledger.Entries() {
		if e.Status == "success" && e.Kind == "" {
			w.figs.Taken++
		}
	}

	for i := range w.times {
		c, err := w.db.Charge(ctx, rideID(i))
		if errors.Is(err, trips.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}

		t, err := w.db.Trip(ctx, rideID(i))
		if err != nil {
			return err
		}
		w.figs.Booked++
		w.figs.Waits += c.At.Sub(t.EndedAt).Seconds()
	}

	w.figs.measureBacklog(w.plan)
	return nil
}
