package payments_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/trips"
)

// outageTransport is the connection to a provider. It counts the requests while
// the provider fails, and the trips they are about.
type outageTransport struct {
	provider http.Handler
	respond  func(*http.Request) (*http.Response, error) // nil: it passes

	mu         sync.Mutex // guards all below
	over       bool
	requests   int
	references map[string]bool
}

func (o *outageTransport) endOutage() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
}

// RoundTrip takes 100 ms.
func (o *outageTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	over := o.over
	if !over {
		o.requests++
		o.references[requestReference(r)] = true
	}
	o.mu.Unlock()
	time.Sleep(100 * time.Millisecond)

	if !over {
		if answer, err := o.respond(r); answer != nil || err != nil {
			return answer, err
		}
	}

	w := httptest.NewRecorder()
	o.provider.ServeHTTP(w, r)
	return w.Result(), nil
}

// requestReference returns the reference that a charge or a verification is
// about.
func requestReference(r *http.Request) string {
	if r.Method == http.MethodGet {
		return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	}
	body, err := r.GetBody()
	if err != nil {
		panic(err)
	}

	text := make([]byte, 1<<10)
	n, _ := body.Read(text)
	_, after, _ := strings.Cut(string(text[:n]), `"reference":"`)
	return after[:strings.IndexByte(after, '"')]
}

func respondStatus(code int) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.WriteHeader(code)
	return w.Result(), nil
}

// outageScenario completes a trip a second and settles with four workers, as a
// node does. Its queue brings a failed job back as events.Worker does.
type outageScenario struct {
	*fixture
	wg    sync.WaitGroup
	queue *lossyQueue
}

func (w *outageScenario) runWorker(ctx context.Context) {
	for {
		j, ok := w.queue.popJob(ctx)
		if !ok {
			return
		}

		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := w.HandleJob(limited, j.id, nil)
		cancel()
		if err == nil || isPermanent(err) || j.try == 4 || ctx.Err() != nil {
			continue // done, or a dead letter
		}
		back := time.AfterFunc(3*time.Second<<j.try, func() { w.queue.pushJob(job{j.id, j.try + 1}) })
		context.AfterFunc(ctx, func() { back.Stop() })
	}
}

func TestAProviderThatFailsIsAskedATenthMoreAtMostAndAllIsPaidWhenItIsBack(t *testing.T) {
	for name, fails := range map[string]func(*http.Request) (*http.Response, error){
		"refuses connections": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"answers 503":         func(*http.Request) (*http.Response, error) { return respondStatus(http.StatusServiceUnavailable) },
		"hangs":               func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"takes too many requests": func(*http.Request) (*http.Response, error) {
			return respondStatus(http.StatusTooManyRequests)
		},
		"answers questions only": func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return nil, nil
			}
			return respondStatus(http.StatusInternalServerError)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { simulateOutage(t, fails) }) })
	}
}

// simulateOutage is an outage of ten minutes from the start, in which a trip is
// completed each second.
func simulateOutage(t *testing.T, fails func(*http.Request) (*http.Response, error)) {
	const trouble, bound = 600, 20 * time.Second
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	way := &outageTransport{provider: provider.NewEmulator(provider.Config{Secret: "sk"}, ledger), respond: fails, references: map[string]bool{}}
	b := &memoryStore{charges: map[trips.TripID]payments.Charge{}, refunds: map[trips.TripID]payments.Refund{},
		changed: make(chan struct{}, 1), trips: map[trips.TripID]trips.Trip{}}
	budget := new(payments.Budget)
	w := &outageScenario{fixture: &fixture{memoryStore: b, ledger: ledger, Settler: &payments.Settler{Trips: b, Charges: b, Refunds: b,
		Now: time.Now, Budget: budget, Provider: &payments.HTTPProvider{URL: "http://provider", Secret: "sk",
			Client: &http.Client{Transport: way}}}},
		queue: &lossyQueue{seededRand: &seededRand{rng: rand.New(rand.NewPCG(1, 2))}, wake: make(chan struct{}, 1)}}
	r := &payments.Reconciler{Charges: b, Refunds: b, Queue: w.queue, Stream: "settlements", Budget: budget, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	defer w.wg.Wait()
	defer stop()

	for range 4 {
		w.wg.Go(func() { w.runWorker(ctx) })
	}
	w.wg.Go(func() { _ = r.Run(ctx) })

	for i := range trouble {
		trip := completedTrip(trips.TripID(fmt.Sprint("t", i)), 1000)
		trip.EndedAt = time.Now()
		b.mu.Lock()
		b.trips[trip.ID] = trip
		b.mu.Unlock()
		w.queue.pushJob(job{id: string(trip.ID)})
		time.Sleep(time.Second)
	}

	way.endOutage()
	healed := time.Now()
	way.mu.Lock()
	requests, first := way.requests, len(way.references)
	way.mu.Unlock()

	t.Logf("%d requests about %d trips: %.3f", requests, first, float64(requests)/float64(first))
	if first < trouble/10 || 10*requests > 11*first {
		t.Errorf("%d requests about %d of %d trips are more than a tenth too many", requests, first, trouble)
	}
	paid := func() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.charges) }

	// Each trip is verified and charged, 100 ms each, at worst one by one.
	most := bound + trouble*200*time.Millisecond
	for paid() < trouble && time.Since(healed) < most {
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("all paid %v after the provider is back", time.Since(healed))
	if n := paid(); n != trouble || len(ledger.Entries()) != trouble {
		t.Errorf("%d of %d trips are paid %v later; %d charges at the provider", n, trouble, most, len(ledger.Entries()))
	}
}

func TestATripThatAllRefusedIsQueuedWhenTheProviderAnswersAgainHoweverLongItRests(t *testing.T) {
	d, q, now := newFixture(t, provider.Faults{}), &recordingQueue{}, ended
	d.trips["other"] = completedTrip("other", 1000)
	d.MaxTries, d.Budget, d.Now = 1, new(payments.Budget), func() time.Time { return now }
	r := &payments.Reconciler{Charges: d.memoryStore, Refunds: d.memoryStore, Queue: q, Stream: "settlements", Budget: d.Budget,
		Now: d.Now, Log: slog.New(slog.DiscardHandler)}
	look := func(after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		if n, err := r.EnqueueDue(t.Context()); err != nil || n != want {
			t.Errorf("%v after it ended %d trips are queued, %v; want %d", now.Sub(ended), n, err, want)
		}
	}

	for _, after := range []time.Duration{31 * time.Second, 31 * time.Second, 61 * time.Second, 121 * time.Second} {
		look(after, 2) // and the jobs are not done
	}
	up := d.Provider.(*payments.HTTPProvider).URL
	d.Provider.(*payments.HTTPProvider).URL = "http://127.0.0.1:1"
	failed := 0
	for d.HandleJob(t.Context(), "done", nil) != nil {
		failed++
	}
	if failed != 5 {
		t.Errorf("%d attempts more before the first for which there is no budget, want 5", failed)
	}
	look(5*time.Second, 1)
	if err := d.HandleJob(t.Context(), "done", nil); err == nil {
		t.Error("a provider that was not asked for 5 s may be asked once")
	}
	d.Provider.(*payments.HTTPProvider).URL = up
	look(5*time.Second, 1)
	if err := d.HandleJob(t.Context(), "other", nil); err != nil || len(d.charges) != 1 {
		t.Fatal(err, d.charges)
	}
	look(5*time.Second, 1)
	if err := d.HandleJob(t.Context(), "done", nil); err != nil || len(d.charges) != 2 {
		t.Error(err, d.charges)
	}
}

func TestTripsThatNobodyCanSettleHideNoOthers(t *testing.T) {
	d, q, now := newFixture(t, provider.Faults{}), &recordingQueue{}, ended.Add(time.Hour)
	for i := range 30 {
		id := trips.TripID(fmt.Sprint("t", i))
		d.trips[id] = completedTrip(id, 1000)
	}

	r := &payments.Reconciler{Charges: d.memoryStore, Refunds: d.memoryStore, Queue: q, Stream: "settlements", Limit: 10,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	for range 4 {
		if _, err := r.EnqueueDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(5 * time.Second)
	}

	if len(q.jobs) != 31 {
		t.Errorf("%d of 31 trips were ever queued", len(q.jobs))
	}
}
