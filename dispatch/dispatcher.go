package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
)

// Drivers is what a search needs of the shared state. Reserve is a
// compare-and-set: of two searches one gets the driver.
type Drivers interface {
	Finder
	Reserve(id trips.DriverID, hold string) error
	Release(id trips.DriverID, hold string) bool
	Assign(id trips.DriverID, trip trips.TripID, st sharedstate.Status)
}

var _ Drivers = (*sharedstate.Drivers)(nil)

// Config is what a Dispatcher is built from. Zero durations and bounds take the
// defaults named beside them.
type Config struct {
	Node    string
	Desk    *trips.Desk
	Store   trips.Store
	Drivers Drivers
	Courier Courier
	// nil: every region
	Owns   func(location.Region) bool
	Policy Policy // zero: the nearest driver by air
	// nil: time.Now
	Now   func() time.Time
	Epoch uint64 // fences offers; 0: the clock at New, in milliseconds

	Rules
	// 2 s
	ScanEvery   time.Duration
	MaxSearches int // at the same time, the rest waits in the store; 1,000

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.Owns == nil {
		c.Owns = func(location.Region) bool { return true }
	}
	if c.Policy.Picker == nil {
		c.Policy.Picker = NearestByRoad{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}

	c.Epoch = cmp.Or(c.Epoch, uint64(c.Now().UnixMilli()))
	c.ScanEvery = cmp.Or(c.ScanEvery, 2*time.Second)
	c.MaxSearches = cmp.Or(c.MaxSearches, 1000)
	return c
}

// hintBuffer bounds the hints that wait to be looked at.
const hintBuffer = 4096

// Dispatcher runs one search per open trip of the regions its node owns. Hints
// make it fast; the scan of the store makes it right: whatever hint is lost,
// the next scan finds the trip that has no search and the search that has no
// trip.
type Dispatcher struct {
	cfg     Config
	metrics metrics
	hints   chan trips.Event
	windows *windowMatcher
	wg      sync.WaitGroup // searches; only Run adds and waits

	mu       sync.Mutex
	searches map[trips.TripID]*search
	holders  map[trips.DriverID]*search // who holds an offer, and whose
}

// New builds a dispatcher; nothing happens until Run.
func New(cfg Config) *Dispatcher {
	cfg = cfg.withDefaults()
	d := &Dispatcher{
		cfg: cfg, metrics: newMetrics(cfg.Registerer), hints: make(chan trips.Event, hintBuffer),
		searches: map[trips.TripID]*search{}, holders: map[trips.DriverID]*search{},
	}
	d.windows = newWindowMatcher(d)
	return d
}

// Run dispatches until ctx ends, then withdraws the offers still out and
// returns when every search has stopped.
func (d *Dispatcher) Run(ctx context.Context) error {
	tick := time.NewTicker(d.cfg.ScanEvery)
	defer tick.Stop()
	defer d.wg.Wait()

	d.wg.Go(func() { d.windows.run(ctx) })
	d.scanStore(ctx)

	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-d.hints:
			d.handleHint(ctx, ev)
		case <-tick.C:
			d.scanStore(ctx)
		}
	}
}

// Hint tells of a trip event from wherever; repeats and gaps are fine. It never
// blocks.
func (d *Dispatcher) Hint(ev trips.Event) {
	select {
	case d.hints <- ev:
	default:
		d.metrics.droppedSignals.WithLabelValues("hints_full").Inc()
	}
}

// Declined tells that the driver does not want the offer. It never blocks; an
// offer not out any more is ignored.
func (d *Dispatcher) Declined(offerID string, id trips.DriverID) {
	if s := d.searchHolding(id); s != nil {
		s.notify(signal{kind: offerDeclined, driver: id, offerID: offerID})
	}
}

// DriverGone tells that the driver's phone has vanished, so that an offer in
// its hands moves on at once.
func (d *Dispatcher) DriverGone(id trips.DriverID) {
	if s := d.searchHolding(id); s != nil {
		s.notify(signal{kind: driverGone, driver: id})
	}
}

func (d *Dispatcher) searchHolding(id trips.DriverID) *search {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holders[id]
}

// handleHint starts a search for a new trip and tells a running one where its trip
// stands now.
func (d *Dispatcher) handleHint(ctx context.Context, ev trips.Event) {
	if ev.Trip.State == trips.Requested {
		if d.cfg.Owns(ev.Trip.Region) {
			d.startSearch(ctx, ev.Trip)
		}
		return
	}

	d.mu.Lock()
	s := d.searches[ev.Trip.ID]
	d.mu.Unlock()

	if s != nil {
		s.notify(signal{kind: tripChanged, trip: ev.Trip})
	}
}

// scanStore compares the store with the searches: it starts what is missing, stops
// what is not ours any more, and has the searches look whose trip is no longer
// open.
func (d *Dispatcher) scanStore(ctx context.Context) {
	before := d.runningSearches()
	limit := 2 * d.cfg.MaxSearches
	readCtx, cancel := context.WithTimeout(ctx, d.cfg.ScanEvery)
	open, err := d.cfg.Store.Open(readCtx, limit)
	cancel()

	if err != nil {
		if !errors.Is(err, context.Canceled) {
			d.cfg.Log.Warn("open trips cannot be read; trying again", "err", err, "in", d.cfg.ScanEvery)
		}
		return
	}

	isOpen := make(map[trips.TripID]bool, len(open))
	for _, t := range open {
		isOpen[t.ID] = true
	}

	for id, s := range before {
		if !d.cfg.Owns(s.trip.Region) {
			s.cancel()
		} else if !isOpen[id] && len(open) < limit {
			s.notify(signal{kind: tripUncertain})
		}
	}

	for _, t := range open {
		if d.cfg.Owns(t.Region) {
			d.startSearch(ctx, t)
		}
	}
}

func (d *Dispatcher) runningSearches() map[trips.TripID]*search {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := make(map[trips.TripID]*search, len(d.searches))
	for id, s := range d.searches {
		running[id] = s
	}
	return running
}

// startSearch runs a search for the trip unless there is one, or as many run as may.
// Only Run's goroutine calls it.
func (d *Dispatcher) startSearch(ctx context.Context, t trips.Trip) {
	d.mu.Lock()
	if _, ok := d.searches[t.ID]; ok {
		d.mu.Unlock()
		return
	}
	if len(d.searches) >= d.cfg.MaxSearches {
		d.mu.Unlock()
		d.metrics.droppedSignals.WithLabelValues("searches_full").Inc()
		return
	}

	searchCtx, stop := context.WithCancel(ctx)
	s := newSearch(d, t, stop)
	d.searches[t.ID] = s
	d.mu.Unlock()
	d.metrics.runningSearches.Inc()

	d.wg.Go(func() {
		defer d.removeSearch(s)
		s.run(searchCtx)
	})
}

func (d *Dispatcher) removeSearch(s *search) {
	s.cancel()
	d.mu.Lock()
	delete(d.searches, s.trip.ID)
	d.mu.Unlock()
	d.metrics.runningSearches.Dec()
}

// setHolder notes whose offer a driver has in hand, and forgets it again.
func (d *Dispatcher) setHolder(id trips.DriverID, s *search) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders[id] = s
}

func (d *Dispatcher) clearHolder(id trips.DriverID, s *search) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holders[id] == s {
		delete(d.holders, id)
	}
}
