package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// Drivers is what a search needs of the shared state. Reserve is a
// compare-and-set: of two searches one gets the driver. No method blocks.
type Drivers interface {
	DriverFinder
	Reserve(id trips.DriverID, hold string) error
	Release(id trips.DriverID, hold string) bool
	Assign(id trips.DriverID, trip trips.TripID, st sharedstate.Status)
}

var _ Drivers = (*sharedstate.Drivers)(nil)

// Config is what a Dispatcher is built from. Zero durations and bounds take the
// defaults named beside them.
type Config struct {
	Node       string
	Trips      *trips.Service
	Store      trips.Store
	Drivers    Drivers
	Transport  OfferTransport
	OwnsRegion func(location.Region) bool // nil: every region.
	// WaitingElsewhere returns the trips that wait in windows of other
	// dispatchers near by, as far as is known; nil: none. The dispatcher
	// changes the slice.
	WaitingElsewhere func() []trips.Trip
	// LookAround asks other nodes for the drivers around and puts them into
	// Drivers. It may block for a moment; nil: all drivers are in Drivers.
	LookAround func(ctx context.Context, areas []sharedstate.Area) LookedAround
	// FormerOwner returns which node had a region before this one, and when the
	// nodes changed; "" if that is not known. nil: it never is.
	FormerOwner func(location.Region) FormerOwner
	Policy      Policy           // Zero: the nearest driver by air.
	Now         func() time.Time // nil: time.Now.
	Epoch       uint64           // Fences offers; 0: Unix ms at New.

	Rules
	ScanEvery   time.Duration // 2 s
	MaxSearches int           // At a time; other trips wait; 1,000.

	Log        *slog.Logger          // nil: slog.Default.
	Registerer prometheus.Registerer // nil: metrics are not registered.
	Tracer     *tracing.Tracer       // nil: no hop is recorded.
}

func (c Config) withDefaults() Config {
	if c.WaitingElsewhere == nil {
		c.WaitingElsewhere = func() []trips.Trip { return nil }
	}
	if c.FormerOwner == nil {
		c.FormerOwner = func(location.Region) FormerOwner { return FormerOwner{} }
	}
	if c.OwnsRegion == nil {
		c.OwnsRegion = func(location.Region) bool { return true }
	}
	if c.Policy.Matcher == nil {
		c.Policy.Matcher = GreedyMatcher{}
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

// hintBuffer bounds the hints that wait for Run. Hint drops and counts the
// rest.
const hintBuffer = 4096

// Dispatcher runs one search per open trip of the regions that its node owns.
// Hints make it fast. The scan of the store makes it correct: when a hint is
// lost, the next scan finds the trip that has no search, or the search that has
// no open trip. Its methods are safe for concurrent use.
type Dispatcher struct {
	// Fixed at creation.
	cfg     Config
	metrics metrics
	hints   chan trips.Event
	rescan  chan struct{} // Holds a signal when the store must be read soon.
	windows *windowMatcher

	// Of Run's goroutine.
	wg        sync.WaitGroup // Searches.
	startedAt time.Time

	mu       sync.Mutex // Guards all below.
	searches map[trips.TripID]*search
	holders  map[trips.DriverID]*search // By the driver who has the offer.
	// When the searches ended that no dispatcher goes on with. A late hint
	// would begin one again, and so would a scan that read the store before.
	ended    map[trips.TripID]time.Time
	forgetAt int // Old ones are forgotten at this many.
}

// rememberEndedFor is longer than a hint can be late.
const rememberEndedFor = time.Minute

// New builds a dispatcher. It does nothing until Run.
func New(cfg Config) *Dispatcher {
	cfg = cfg.withDefaults()
	d := &Dispatcher{
		cfg: cfg, metrics: newMetrics(cfg.Registerer), hints: make(chan trips.Event, hintBuffer), rescan: make(chan struct{}, 1),
		searches: map[trips.TripID]*search{}, holders: map[trips.DriverID]*search{},
		ended: map[trips.TripID]time.Time{}, forgetAt: minSweepSize,
	}
	d.windows = newWindowMatcher(d)
	return d
}

// Run dispatches until ctx ends. Then it withdraws the offers that are still
// out, and returns when every search has stopped. It always returns nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	tick := time.NewTicker(d.cfg.ScanEvery)
	defer tick.Stop()
	defer d.wg.Wait()

	d.startedAt = d.cfg.Now()
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
		case <-d.rescan:
			d.scanStore(ctx)
			tick.Reset(d.cfg.ScanEvery)
		}
	}
}

// ScanSoon makes Run compare the store with the searches now: hints may have
// been missed, or regions have other owners. It never blocks.
func (d *Dispatcher) ScanSoon() {
	select {
	case d.rescan <- struct{}{}:
	default:
	}
}

// Hint passes on a trip event from any source. Events may repeat or be missing.
// It never blocks. When the buffer is full it counts and drops the hint.
func (d *Dispatcher) Hint(ev trips.Event) {
	select {
	case d.hints <- ev:
	default:
		d.metrics.droppedSignals.WithLabelValues("hints_full").Inc()
	}
}

// OnOfferDeclined reports that the driver does not want the offer. It never
// blocks. It ignores an offer that is no longer out.
func (d *Dispatcher) OnOfferDeclined(offerID string, id trips.DriverID) {
	if s := d.searchHolding(id); s != nil {
		s.sendSignal(signal{kind: offerDeclined, driver: id, offerID: offerID})
	}
}

// OnDriverGone reports that the driver's phone is gone, so that the offer in
// hand goes to the next driver at once. It never blocks.
func (d *Dispatcher) OnDriverGone(id trips.DriverID) {
	if s := d.searchHolding(id); s != nil {
		s.sendSignal(signal{kind: driverGone, driver: id})
	}
}

// OnDriverBusy reports that the driver was not free when the offer came to the
// driver's node: another node was faster. It never blocks. It ignores an offer
// that is no longer out.
func (d *Dispatcher) OnDriverBusy(offerID string, id trips.DriverID) {
	if s := d.searchHolding(id); s != nil {
		s.sendSignal(signal{kind: driverBusy, driver: id, offerID: offerID})
	}
}

// searchHolding returns the search whose offer the driver has in hand, or nil.
func (d *Dispatcher) searchHolding(id trips.DriverID) *search {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holders[id]
}

// handleHint starts a search for a new trip, and signals a running search that
// its trip changed. Only Run's goroutine calls it.
func (d *Dispatcher) handleHint(ctx context.Context, ev trips.Event) {
	if ev.Trip.State == trips.Requested {
		if d.cfg.OwnsRegion(ev.Trip.Region) {
			d.startSearch(ctx, ev.Trip, ev.Trip.RequestedAt)
		}
		return
	}

	d.mu.Lock()
	s := d.searches[ev.Trip.ID]
	d.mu.Unlock()

	if s != nil {
		s.sendSignal(signal{kind: tripChanged, trip: ev.Trip})
	}
}

// scanStore compares the store with the searches. It starts searches that are
// missing, cancels those of regions that this node lost, and signals those
// whose trip is no longer open. Only Run's goroutine calls it.
func (d *Dispatcher) scanStore(ctx context.Context) {
	before, began := d.runningSearches(), d.cfg.Now()
	limit := 2 * d.cfg.MaxSearches
	readCtx, cancel := context.WithTimeout(ctx, d.cfg.ScanEvery)
	open, err := d.cfg.Store.OpenTrips(readCtx, limit)
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
		if !d.cfg.OwnsRegion(s.trip.Region) {
			s.cancel()
		} else if !isOpen[id] && len(open) < limit {
			s.sendSignal(signal{kind: tripUncertain})
		}
	}

	for _, t := range open {
		if d.cfg.OwnsRegion(t.Region) {
			if d.startSearch(ctx, t, began) {
				d.recordTakeover(t)
			}
		}
	}
}

// runningSearches returns a copy of the map of searches.
func (d *Dispatcher) runningSearches() map[trips.TripID]*search {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := make(map[trips.TripID]*search, len(d.searches))
	for id, s := range d.searches {
		running[id] = s
	}
	return running
}

// startSearch runs a search for the trip, unless there is one or MaxSearches
// are running, or one has ended since openAt, when the trip was open. Only Run's
// goroutine calls it.
func (d *Dispatcher) startSearch(ctx context.Context, t trips.Trip, openAt time.Time) (started bool) {
	d.mu.Lock()
	_, isRunning := d.searches[t.ID]
	if endedAt, ok := d.ended[t.ID]; isRunning || ok && !endedAt.Before(openAt) {
		d.mu.Unlock()
		return false
	}
	if len(d.searches) >= d.cfg.MaxSearches {
		d.mu.Unlock()
		d.metrics.droppedSignals.WithLabelValues("searches_full").Inc()
		return false
	}

	searchCtx, stop := context.WithCancel(ctx)
	s := newSearch(d, t, stop)
	d.searches[t.ID] = s
	d.mu.Unlock()
	d.metrics.runningSearches.Inc()

	d.wg.Go(func() {
		d.removeSearch(s, s.run(searchCtx))
	})
	return true
}

// removeSearch removes a search and remembers its trip, unless another
// dispatcher may go on with it.
func (d *Dispatcher) removeSearch(s *search, end outcome) {
	s.cancel()
	d.mu.Lock()
	delete(d.searches, s.trip.ID)
	if end != outcomeStopped {
		d.rememberEndedLocked(s.trip.ID)
	}
	d.mu.Unlock()
	d.metrics.runningSearches.Dec()
}

func (d *Dispatcher) rememberEndedLocked(id trips.TripID) {
	now := d.cfg.Now()
	if len(d.ended) >= d.forgetAt {
		maps.DeleteFunc(d.ended, func(_ trips.TripID, at time.Time) bool { return now.Sub(at) >= rememberEndedFor })
		d.forgetAt = max(minSweepSize, 2*len(d.ended))
	}
	d.ended[id] = now
}

// setHolder records that the driver has the search's offer in hand.
func (d *Dispatcher) setHolder(id trips.DriverID, s *search) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders[id] = s
}

// clearHolder removes that record, unless another search has replaced it.
func (d *Dispatcher) clearHolder(id trips.DriverID, s *search) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holders[id] == s {
		delete(d.holders, id)
	}
}
