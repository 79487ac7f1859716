package sharedstate

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// DriverOptions are the settings of Drivers; zero values mean the defaults.
type DriverOptions struct {
	Judge location.Judge
	Now   func() time.Time
	// a driver silent for longer is not offered; detector.SuspectAfter
	SuspectAfter time.Duration
	// a driver silent for longer is on no map and not counted as available;
	// detector.OfflineAfter
	OfflineAfter time.Duration
	Shards       int // locks over the ids; 64
}

// Drivers knows every driver by id and by place. Locks are taken in the order
// shard, tile, and never two of a kind, except by Check.
type Drivers struct {
	opts          DriverOptions
	seed          maphash.Seed
	shards        []shard
	cells         *cellIndex
	changeTick    atomic.Uint64
	guard         *detector.Guard // apart from the tick, which every Move reads
	fingerprints  *location.Footprints
	trackInterval time.Duration // fixes that follow faster are not for tracks
}

// fingerprintCapacity is how many stretches of drives are remembered, in 8 MB: what
// 5,000 cars on the road leave in half an hour, at a fix a second.
const fingerprintCapacity = 1 << 20

// shard is one share of the drivers. BenchmarkShards shows what one lock for
// all costs.
type shard struct {
	mu          sync.RWMutex
	byID        map[trips.DriverID]*entry
	statusCount map[Status]int // by status, all entries
	accepted    uint64
	rejects     map[location.Reason]uint64
	_           [64]byte // keeps neighbours' locks off this cache line
}

// NewDrivers makes an empty state.
func NewDrivers(opts DriverOptions) *Drivers {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Judge == (location.Judge{}) {
		opts.Judge = location.DefaultJudge()
	}

	opts.Judge.Pace = max(1, opts.Judge.Pace)
	opts.SuspectAfter = positiveOr(opts.SuspectAfter, detector.SuspectAfter)
	opts.OfflineAfter = positiveOr(opts.OfflineAfter, detector.OfflineAfter)
	opts.Shards = positiveOr(opts.Shards, 64)

	d := &Drivers{opts: opts, seed: maphash.MakeSeed(), shards: make([]shard, opts.Shards), cells: newCellIndex(),
		guard: new(detector.Guard), fingerprints: location.NewFootprints(fingerprintCapacity),
		trackInterval: location.TrackEvery(opts.Judge.Pace)}
	for i := range d.shards {
		s := &d.shards[i]
		s.byID, s.statusCount = map[trips.DriverID]*entry{}, map[Status]int{}
		s.rejects = map[location.Reason]uint64{}
	}

	d.changeTick.Store(1)
	return d
}

// Guard is told by whoever runs the node that it is awake, so that a pause of
// its own makes no driver silent.
func (d *Drivers) Guard() *detector.Guard { return d.guard }

// heardSince is when a driver must have been heard of not to count as silent
// for that long.
func (d *Drivers) heardSince(silence time.Duration) time.Time {
	return d.guard.Cutoff(d.opts.Now(), silence)
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

// ensureEntryLocked returns the driver's entry, made if need be.
func (s *shard) ensureEntryLocked(id trips.DriverID) *entry {
	e := s.byID[id]
	if e == nil {
		e = &entry{shard: s, driver: Driver{ID: id, Status: NonOperational}}
		s.byID[id] = e
		s.statusCount[NonOperational]++
	}
	return e
}

// updateStatusLocked brings the derived facts in line after a change to an entry.
func (d *Drivers) updateStatusLocked(e *entry) {
	if now := e.deriveStatus(); now != e.driver.Status {
		if now == Available && e.driver.Status != Offered {
			// whoever declines an offer has been waiting all the while
			e.idleSince = d.opts.Now().UnixNano()
		}
		e.shard.statusCount[e.driver.Status]--
		e.shard.statusCount[now]++
		e.driver.Status = now
	}

	e.changedTick = d.changeTick.Load()
	if e.cell != nil {
		e.cell.putDriver(e)
	}
}

// Seat is one driver's place here, for whoever moves them as long as they are
// connected: finding them each time by id would cost a third of a move.
type Seat struct {
	drivers *Drivers
	entry   *entry
	node    string
}

// Enter says that the driver's socket is at node. A driver keeps what they were
// doing.
func (d *Drivers) Enter(id trips.DriverID, node string) Seat {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.ensureEntryLocked(id)
	e.driver.Node, e.driver.Connected, e.enteredAt = node, true, d.opts.Now()
	d.updateStatusLocked(e)
	return Seat{d, e, node}
}

// Move believes or refuses a fix that came now, and remembers where the driver
// is. It also returns what there is to doubt about this driver since this fix,
// whether believed or not; mostly nothing.
func (s Seat) Move(fix location.Fix, now time.Time) (location.Reason, location.Flags) {
	s.entry.shard.mu.Lock()
	defer s.entry.shard.mu.Unlock()

	// a mirror was mistaken: the phone speaks here
	if d := &s.entry.driver; d.Node != s.node || !d.Connected {
		d.Node, d.Connected = s.node, true
		s.drivers.updateStatusLocked(s.entry)
	}
	return s.drivers.applyFixLocked(s.entry, fix, now)
}

// Leave says that the driver's socket at node is gone. It does nothing when the
// driver is at another node by now.
func (d *Drivers) Leave(id trips.DriverID, node string) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil && e.driver.Node == node && e.driver.Connected {
		e.driver.Connected = false
		d.updateStatusLocked(e)
	}
}

// Move is Seat.Move for who has no seat at hand.
func (d *Drivers) Move(id trips.DriverID, fix location.Fix) location.Reason {
	s, now := d.shardOf(id), d.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil {
		s.rejects[Unknown]++
		return Unknown
	}

	why, _ := d.applyFixLocked(e, fix, now)
	return why
}

func (d *Drivers) applyFixLocked(e *entry, fix location.Fix, now time.Time) (location.Reason, location.Flags) {
	why := d.filterFixLocked(e, fix, now)
	if why == location.Believed {
		at := fix.At.UnixNano()
		if gap := at - e.trackedAt; gap >= 0 && gap < int64(d.trackInterval) {
			return why, 0
		}
		e.trackedAt = at
	}
	return why, e.track.See(&fix, why, now, d.opts.Judge.Pace, d.fingerprints)
}

func (d *Drivers) filterFixLocked(e *entry, fix location.Fix, now time.Time) location.Reason {
	s := e.shard
	if r := d.opts.Judge.Believe(e.driver.Fix, e.cell != nil, fix, now); r != location.Believed {
		s.rejects[r]++
		return r
	}
	if !d.storePositionLocked(e, fix, now) {
		s.rejects[location.OutOfRange]++
		return location.OutOfRange
	}

	s.accepted++
	return location.Believed
}

// storePositionLocked puts the driver where the fix says; false when the fix is
// nowhere.
func (d *Drivers) storePositionLocked(e *entry, fix location.Fix, now time.Time) bool {
	to := e.cell
	if to == nil || !to.hexagon.Contains(fix.Point) {
		if to = d.cells.ensureCellAt(fix.Point, e.cell); to == nil {
			return false
		}
	}

	e.driver.Fix, e.driver.ReceivedAt, e.driver.Cell = fix, now, to.hexagon.Cell
	e.changedTick = d.changeTick.Load()
	if from := e.cell; from != nil && from != to {
		from.removeDriver(e)
	}
	e.cell = to
	to.putDriver(e)
	return true
}

// Place mirrors another node's driver. The newest fix wins, so that mirrors may
// come late or twice; what this node itself decided (a hold) stays. Of a driver
// who has come from there meanwhile, only the place is news.
func (d *Drivers) Place(m Driver) {
	s := d.shardOf(m.ID)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.ensureEntryLocked(m.ID)
	if older := m.Fix.At.Before(e.driver.Fix.At); older || (e.driver.Connected && e.driver.Node != m.Node && !m.Fix.At.After(e.driver.Fix.At)) {
		return
	}
	if m.Located() && m.Fix.At.After(e.driver.Fix.At) && (m.Fix.Check() != nil || !d.storePositionLocked(e, m.Fix, m.ReceivedAt)) {
		return
	}
	if e.driver.Connected && e.driver.Node != m.Node && !m.ReceivedAt.After(e.enteredAt) {
		return
	}

	e.driver.Node, e.driver.Connected = m.Node, m.Connected
	e.onDuty = m.Status != NonOperational

	switch {
	case m.Trip != "" && m.Trip != e.endedTrip:
		e.bindTripLocked(m.Trip, m.Status)
	case m.Trip == "":
		e.driver.Trip = ""
	}

	d.updateStatusLocked(e)
}

// SetAvailable says whether the driver wants trips. It does not touch the trip
// or the offer in hand.
func (d *Drivers) SetAvailable(id trips.DriverID, wants bool) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.ensureEntryLocked(id)
	e.onDuty = wants
	d.updateStatusLocked(e)
}

// Reserve holds an available driver for an offer: of many who try, one gets the
// driver, the rest ErrNotAvailable.
func (d *Drivers) Reserve(id trips.DriverID, hold string) error {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.byID[id]
	if e == nil || !e.isFree() || hold == "" {
		return fmt.Errorf("driver %s: %w", id, ErrNotAvailable)
	}

	e.driver.Hold = hold
	d.updateStatusLocked(e)
	return nil
}

// Release ends a hold; false when that hold is not (or no more) in force.
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

// Assign binds the driver to a trip and ends any hold. Repeats and latecomers
// (a trip that was freed, a step back) change nothing.
func (d *Drivers) Assign(id trips.DriverID, trip trips.TripID, st Status) {
	s := d.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ensureEntryLocked(id); trip != "" && trip != e.endedTrip {
		e.bindTripLocked(trip, st)
		d.updateStatusLocked(e)
	}
}

func (e *entry) bindTripLocked(trip trips.TripID, st Status) {
	if st != OnTrip && (e.driver.Trip != trip || e.tripStatus != OnTrip) {
		st = Reserved
	} else {
		st = OnTrip
	}

	e.driver.Trip, e.tripStatus, e.driver.Hold = trip, st, ""
}

// Free ends the driver's trip, if it is this one.
func (d *Drivers) Free(id trips.DriverID, trip trips.TripID) {
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

// Changed appends the node's drivers that changed since a tick, and returns the
// tick to ask with next time. The first question is 0.
func (d *Drivers) Changed(node string, since uint64, dst []Driver) ([]Driver, uint64) {
	// Whoever changes an entry reads the tick under the lock taken below, so a
	// change is either seen now or carries the new tick.
	next := d.changeTick.Add(1)

	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		for _, e := range s.byID {
			if e.changedTick >= since && e.driver.Node == node {
				dst = append(dst, e.driver)
			}
		}
		s.mu.RUnlock()
	}
	return dst, next
}

// Sweep forgets drivers who left, have no trip and no offer, and were silent
// since before. It returns how many.
func (d *Drivers) Sweep(before time.Time) (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for id, e := range s.byID {
			if e.driver.Connected || e.driver.Trip != "" || e.driver.Hold != "" || e.driver.ReceivedAt.After(before) {
				continue
			}
			if e.cell != nil {
				e.cell.removeDriver(e)
			}
			s.statusCount[e.driver.Status]--
			delete(s.byID, id)
			n++
		}
		s.mu.Unlock()
	}

	return n
}
