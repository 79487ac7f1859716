package sharedstate

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// DriverOptions are the settings of Drivers. Zero values mean the defaults
// named beside them.
type DriverOptions struct {
	// FixFilter accepts or refuses fixes; location.DefaultFixFilter.
	FixFilter location.FixFilter

	// Node is the name of this node, whose drivers TakeChanged returns.
	Node string

	// Now is the clock; time.Now.
	Now func() time.Time

	// A driver silent for longer than SuspectAfter gets no offers;
	// detector.SuspectAfter.
	SuspectAfter time.Duration

	// A driver silent for longer than OfflineAfter is on no map and not counted
	// as available; detector.OfflineAfter.
	OfflineAfter time.Duration

	// Shards is the number of locks over the ids; 64.
	Shards int
}

// Drivers finds every driver by id and by place. Locks are taken in the order
// shard, cell. No goroutine holds two shards or two cells, except in
// CheckInvariants.
type Drivers struct {
	// Fixed at creation.
	opts   DriverOptions
	seed   maphash.Seed
	shards []shard

	// Safe for concurrent use.
	cells        *cellIndex
	guard        *detector.Guard
	fingerprints *location.DriveFingerprints
	tripMoved    chan struct{} // Holds a signal when TakeOnTrip has something.

	// trackInterval is fixed at creation. Tracks skip fixes that follow faster.
	trackInterval time.Duration
}

// fingerprintCapacity is how many stretches of drives are remembered, in 8 MB:
// what 5,000 driving cars leave in half an hour, at a fix a second.
const fingerprintCapacity = 1 << 20

// shard is one share of the drivers. On quiet cores 64 shards do about twice the
// work of one, and less than that on busy ones (BenchmarkShards).
type shard struct {
	mu          sync.RWMutex // Guards all below.
	byID        map[trips.DriverID]*entry
	statusCount map[Status]int // Over all entries.
	accepted    uint64
	rejects     map[location.RejectReason]uint64
	reserved    uint64 // Calls of Reserve that got the driver.
	notReserved uint64 // Those that did not.
	tracking    bool   // This node's drivers are listed when they change.
	changes     changeLists

	_ [64]byte // Keeps the next shard's lock off this cache line.
}

// NewDrivers returns an empty state.
func NewDrivers(opts DriverOptions) *Drivers {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.FixFilter == (location.FixFilter{}) {
		opts.FixFilter = location.DefaultFixFilter()
	}

	opts.FixFilter.Pace = max(1, opts.FixFilter.Pace)
	opts.SuspectAfter = positiveOr(opts.SuspectAfter, detector.SuspectAfter)
	opts.OfflineAfter = positiveOr(opts.OfflineAfter, detector.OfflineAfter)
	opts.Shards = positiveOr(opts.Shards, 64)

	d := &Drivers{opts: opts, seed: maphash.MakeSeed(), shards: make([]shard, opts.Shards), cells: newCellIndex(),
		guard: new(detector.Guard), fingerprints: location.NewDriveFingerprints(fingerprintCapacity), tripMoved: make(chan struct{}, 1),
		trackInterval: location.MinTrackInterval(opts.FixFilter.Pace)}
	for i := range d.shards {
		s := &d.shards[i]
		s.byID, s.statusCount = map[trips.DriverID]*entry{}, map[Status]int{}
		s.rejects = map[location.RejectReason]uint64{}
	}

	return d
}

// Guard returns the guard that the node beats while it is awake. So a pause of
// the node itself makes no driver silent.
func (d *Drivers) Guard() *detector.Guard { return d.guard }

// FixFilter returns the limits by which fixes are accepted or refused.
func (d *Drivers) FixFilter() location.FixFilter { return d.opts.FixFilter }

// heardSince returns the time since which a driver must have been heard, not to
// count as silent for that long.
func (d *Drivers) heardSince(silence time.Duration) time.Time {
	return d.guard.SilenceCutoff(d.opts.Now(), silence)
}

func positiveOr[T int | time.Duration](v, or T) T {
	if v <= 0 {
		return or
	}
	return v
}

func (d *Drivers) shardOf(id trips.DriverID) *shard {
	return &d.shards[maphash.String(d.seed, string(id))%uint64(len(d.shards))]
}

// ensureEntryLocked returns the driver's entry and creates it if necessary.
func (s *shard) ensureEntryLocked(id trips.DriverID) *entry {
	e := s.byID[id]
	if e == nil {
		e = &entry{shard: s, driver: Driver{ID: id, Status: NonOperational}}
		s.byID[id] = e
		s.statusCount[NonOperational]++
	}
	return e
}

// updateStatusLocked derives the status anew after a change to an entry, and
// updates the counters and the cell.
func (d *Drivers) updateStatusLocked(e *entry) {
	if now := e.deriveStatus(); now != e.driver.Status {
		if now == Available && e.driver.Status != Offered {
			// A driver who declined an offer has been idle all along.
			e.idleSince = d.opts.Now().UnixNano()
		}
		e.shard.statusCount[e.driver.Status]--
		e.shard.statusCount[now]++
		e.driver.Status = now
	}

	if e.shard.tracking {
		d.listChangeLocked(e)
	}
	if e.cell != nil {
		e.cell.putDriver(e)
	}
}

// DriverHandle is a handle to one driver, for the session that moves the
// driver. Looking the driver up by id for each fix would cost a third of a
// move.
type DriverHandle struct {
	drivers *Drivers
	entry   *entry
	node    string
}

// Connect records that the driver's socket is at node, and returns the handle
// for its fixes. What the driver was doing stays as it was.
func (d *Drivers) Connect(id trips.DriverID, node string) DriverHandle {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.ensureEntryLocked(id)
	e.driver.Node, e.driver.Connected, e.enteredAt, e.offeredElsewhere = node, true, d.opts.Now(), false
	d.updateStatusLocked(e)
	return DriverHandle{d, e, node}
}

// Move accepts or refuses a fix received at now, and stores the driver's
// position. It returns the reason for a refusal, and the doubts that this fix
// raises, whether accepted or not. Mostly there are none.
func (s DriverHandle) Move(fix location.Fix, now time.Time) (location.RejectReason, location.Flags) {
	s.entry.shard.mu.Lock()
	defer s.entry.shard.mu.Unlock()

	if d := &s.entry.driver; d.Node != s.node || !d.Connected {
		s.reclaimLocked()
	}
	return s.drivers.applyFixLocked(s.entry, fix, now)
}

// reclaimLocked makes this the driver's node again. A replica from another node
// was wrong: the phone sends its fixes here.
func (s DriverHandle) reclaimLocked() {
	s.drivers.restoreLocked(s.entry)
	d := &s.entry.driver
	d.Node, d.Connected, s.entry.offeredElsewhere = s.node, true, false
	s.drivers.updateStatusLocked(s.entry)
}

// Disconnect records that the driver's socket at node is closed. It does
// nothing when the driver has moved to another node.
func (d *Drivers) Disconnect(id trips.DriverID, node string) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil && e.driver.Node == node && e.driver.Connected {
		e.driver.Connected = false
		d.updateStatusLocked(e)
	}
}

// Move looks the driver up by id and applies a fix received now. Callers that
// hold a handle use DriverHandle.Move. It refuses the fix of an unknown driver
// as UnknownDriver.
func (d *Drivers) Move(id trips.DriverID, fix location.Fix) location.RejectReason {
	s, now := d.shardOf(id), d.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil {
		s.rejects[UnknownDriver]++
		return UnknownDriver
	}

	why, _ := d.applyFixLocked(e, fix, now)
	return why
}

// applyFixLocked filters and stores a fix, and passes it to the driver's track
// unless it follows the last one too soon.
func (d *Drivers) applyFixLocked(e *entry, fix location.Fix, now time.Time) (location.RejectReason, location.Flags) {
	why := d.filterFixLocked(e, fix, now)
	if why == location.Accepted {
		at := fix.At.UnixNano()
		if gap := at - e.trackedAt; gap >= 0 && gap < int64(d.trackInterval) {
			return why, 0
		}
		e.trackedAt = at
	}
	return why, e.track.ObserveFix(&fix, why, now, d.opts.FixFilter.Pace, d.fingerprints)
}

// filterFixLocked stores the fix if it is acceptable, and counts the result.
func (d *Drivers) filterFixLocked(e *entry, fix location.Fix, now time.Time) location.RejectReason {
	s := e.shard
	if r := d.opts.FixFilter.Accept(e.driver.Fix, e.cell != nil, fix, now); r != location.Accepted {
		s.rejects[r]++
		return r
	}
	if !d.storePositionLocked(e, fix, now) {
		s.rejects[location.OutOfRange]++
		return location.OutOfRange
	}

	s.accepted++
	return location.Accepted
}

// storePositionLocked puts the driver into the cell of the fix. It returns
// false when the fix is not on Earth.
func (d *Drivers) storePositionLocked(e *entry, fix location.Fix, now time.Time) bool {
	to := e.cell
	if to == nil || !to.hexagon.Contains(fix.Point) {
		if to = d.cells.ensureCellAt(fix.Point, e.cell); to == nil {
			return false
		}
	}

	e.driver.Fix, e.driver.ReceivedAt, e.driver.Cell = fix, now, to.hexagon.Cell
	if e.shard.tracking {
		d.listChangeLocked(e)
	}
	if from := e.cell; from != nil && from != to {
		from.removeDriver(e)
	}
	e.cell = to
	to.putDriver(e)
	return true
}

// SetAvailable sets whether the driver wants trips. It does not touch the trip
// or the offer in hand.
func (d *Drivers) SetAvailable(id trips.DriverID, wants bool) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.ensureEntryLocked(id)
	e.onDuty = wants
	d.updateStatusLocked(e)
}

// Reserve holds an available driver for the offer named hold. Of many
// concurrent callers one succeeds, and the others get ErrNotAvailable.
func (d *Drivers) Reserve(id trips.DriverID, hold string) error {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil || !e.isFree() || hold == "" {
		s.notReserved++
		return fmt.Errorf("driver %s: %w", id, ErrNotAvailable)
	}

	s.reserved++
	e.driver.Hold = hold
	d.updateStatusLocked(e)
	return nil
}

// Release ends a hold. It returns false when that hold is not in force.
func (d *Drivers) Release(id trips.DriverID, hold string) bool {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil || hold == "" || e.driver.Hold != hold {
		return false
	}

	e.driver.Hold = ""
	d.updateStatusLocked(e)
	return true
}

// Assign binds the driver to a trip and ends any hold. It ignores repeats and
// late events: a trip that has ended, or a step back from OnTrip to Reserved.
func (d *Drivers) Assign(id trips.DriverID, trip trips.TripID, st Status) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ensureEntryLocked(id); trip != "" && trip != e.endedTrip {
		e.bindTripLocked(trip, st)
		d.updateStatusLocked(e)
	}
}

// bindTripLocked sets the trip and its status. A trip that is OnTrip stays so.
func (e *entry) bindTripLocked(trip trips.TripID, st Status) {
	if st != OnTrip && (e.driver.Trip != trip || e.tripStatus != OnTrip) {
		st = Reserved
	} else {
		st = OnTrip
	}

	e.driver.Trip, e.tripStatus, e.driver.Hold = trip, st, ""
}

// ClearTrip ends the driver's trip, if it is this one.
func (d *Drivers) ClearTrip(id trips.DriverID, trip trips.TripID) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil || trip == "" {
		return
	}

	e.endedTrip = trip
	if e.driver.Trip == trip {
		e.driver.Trip = ""
		d.updateStatusLocked(e)
	}
}

// Get returns a copy of what is known about a driver.
func (d *Drivers) Get(id trips.DriverID) (Driver, bool) {
	s := d.shardOf(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.byID[id]; e != nil {
		return e.driver, true
	}
	return Driver{}, false
}

// LastFix returns the last believed fix of a driver's car as a step of a trip
// needs it, of this node or another, or nil if there is none. Its age counts
// from when a node received it, since the phone's clock may be minutes off.
func (d *Drivers) LastFix(id trips.DriverID, now time.Time) *trips.CarFix {
	known, ok := d.Get(id)
	if !ok || !known.HasPosition() {
		return nil
	}
	return &trips.CarFix{Point: known.Fix.Point, Accuracy: float64(known.Fix.Accuracy),
		Age: max(0, now.Sub(known.ReceivedAt)), Pace: d.opts.FixFilter.Pace}
}
