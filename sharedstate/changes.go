package sharedstate

import "github.com/ridehail/ridehail/trips"

// changeLists are the drivers of this node in one shard who changed. The
// shard's lock guards them.
type changeLists struct {
	// Each entry is in a list once at most, which its listed and listedOnTrip
	// say.
	changed []*entry
	onTrip  []*entry // Those of them who are on a trip.

	// spare lists are empty; they are used when the others are taken.
	spareChanged, spareOnTrip []*entry

	overwritten int // Changes on a trip that found the driver listed.
}

// SetTracking sets whether changes of this node's drivers are listed for
// TakeChanged and TakeOnTrip. While it is off they return nothing, and changes
// cost nothing.
func (d *Drivers) SetTracking(on bool) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		if s.tracking = on; !on {
			for _, e := range s.changes.changed {
				e.listed = false
			}
			for _, e := range s.changes.onTrip {
				e.listedOnTrip = false
			}
			s.changes = changeLists{}
		}
		s.mu.Unlock()
	}
}

// listChangeLocked lists a driver of this node who changed.
func (d *Drivers) listChangeLocked(e *entry) {
	if e.driver.Node != d.opts.Node {
		return
	}
	if l := &e.shard.changes; !e.listed {
		e.listed = true
		l.changed = append(l.changed, e)
	}
	if e.driver.Trip != "" {
		d.listOnTripLocked(e)
	}
}

// listOnTripLocked lists a driver for TakeOnTrip and signals it.
func (d *Drivers) listOnTripLocked(e *entry) {
	l := &e.shard.changes
	if e.listedOnTrip {
		l.overwritten++
		return
	}
	e.listedOnTrip = true
	l.onTrip = append(l.onTrip, e)

	select {
	case d.tripMoved <- struct{}{}:
	default:
	}
}

// TripMoved returns a channel that holds a signal when TakeOnTrip has a driver.
func (d *Drivers) TripMoved() <-chan struct{} { return d.tripMoved }

// Touch lists a driver of this node for TakeOnTrip, as if the car had moved. It
// does nothing while tracking is off.
func (d *Drivers) Touch(ids ...trips.DriverID) {
	for _, id := range ids {
		s := d.shardOf(id)
		s.mu.Lock()
		if e := s.byID[id]; e != nil && s.tracking && e.driver.Node == d.opts.Node && !e.listedOnTrip {
			d.listOnTripLocked(e)
		}
		s.mu.Unlock()
	}
}

// TakeChanged appends to dst this node's drivers that changed since it was last
// called, each once as it is now. Its cost is by their number. Only one
// goroutine may call it.
func (d *Drivers) TakeChanged(dst []Driver) []Driver {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		l := &s.changes
		taken := l.changed
		l.changed, l.spareChanged = l.spareChanged, nil
		s.mu.Unlock()

		dst = s.copyListed(d.opts.Node, taken, dst, func(e *entry) { e.listed = false })
		s.mu.Lock()
		l.spareChanged = taken[:0]
		s.mu.Unlock()
	}
	return dst
}

// TakeOnTrip appends to dst this node's drivers on a trip that changed since it
// was last called, each once as it is now, and returns how many changes a newer
// one of the same driver has overwritten. Only one goroutine may call it.
func (d *Drivers) TakeOnTrip(dst []Driver) (taken []Driver, overwritten int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		l := &s.changes
		list := l.onTrip
		l.onTrip, l.spareOnTrip = l.spareOnTrip, nil
		overwritten += l.overwritten
		l.overwritten = 0
		s.mu.Unlock()

		dst = s.copyListed(d.opts.Node, list, dst, func(e *entry) { e.listedOnTrip = false })
		s.mu.Lock()
		l.spareOnTrip = list[:0]
		s.mu.Unlock()
	}
	return dst, overwritten
}

// copyBatch is how many drivers are copied while a lock is held.
const copyBatch = 64

// copyListed appends copies of the entries to dst, except those of drivers who
// have gone to another node. unlist is called for each under the lock, so that
// a later change lists it again.
func (s *shard) copyListed(node string, list []*entry, dst []Driver, unlist func(*entry)) []Driver {
	for from := 0; from < len(list); from += copyBatch {
		s.mu.Lock()
		for _, e := range list[from:min(from+copyBatch, len(list))] {
			if unlist(e); e.driver.Node == node {
				dst = append(dst, e.driver)
			}
		}
		s.mu.Unlock()
	}

	clear(list) // A removed driver is not kept alive.
	return dst
}

// DriversOf appends to dst the drivers of a node. It walks all drivers.
func (d *Drivers) DriversOf(node string, dst []Driver) []Driver {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		for _, e := range s.byID {
			if e.driver.Node == node {
				dst = append(dst, e.driver)
			}
		}
		s.mu.RUnlock()
	}
	return dst
}
