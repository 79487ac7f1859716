package sharedstate

import (
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

// ApplyReplica applies a replica of another node's driver. The newest fix wins,
// so that replicas may come late or twice. A hold stays, because this node
// decided it. If the driver has come here from that node meanwhile, only a
// newer position is used. A driver whom another node has made an offer is not
// free here either.
func (d *Drivers) ApplyReplica(m Driver) {
	s := d.shardOf(m.ID)
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.ensureEntryLocked(m.ID)
	if older := m.Fix.At.Before(e.driver.Fix.At); older || (e.driver.Connected && e.driver.Node != m.Node && !m.Fix.At.After(e.driver.Fix.At)) {
		return
	}
	if m.HasPosition() && m.Fix.At.After(e.driver.Fix.At) && (m.Fix.CheckRange() != nil || !d.storePositionLocked(e, m.Fix, m.ReceivedAt)) {
		return
	}
	if e.driver.Connected && e.driver.Node != m.Node && !m.ReceivedAt.After(e.enteredAt) {
		return
	}

	e.driver.Node, e.driver.Connected = m.Node, m.Connected
	e.onDuty, e.offeredElsewhere = m.Status != NonOperational, m.Status == Offered

	switch {
	case m.Trip != "" && m.Trip != e.endedTrip:
		e.bindTripLocked(m.Trip, m.Status)
	case m.Trip == "":
		e.driver.Trip = ""
	}

	d.updateStatusLocked(e)
}

// ApplyCopy applies what a node knows of another one's driver. It may be older
// than what the driver's node has told us, with the same fix: it never ends a
// trip then.
func (d *Drivers) ApplyCopy(m Driver) {
	if known, ok := d.Get(m.ID); ok && known.Trip != "" && m.Trip == "" && !m.Fix.At.After(known.Fix.At) {
		return
	}
	d.ApplyReplica(m)
}

// RemoveInactive removes drivers who left, have no trip and no offer, and were
// last heard at or before the given time. It returns how many it removed.
func (d *Drivers) RemoveInactive(before time.Time) (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for id, e := range s.byID {
			if e.driver.Connected || e.driver.Trip != "" || e.driver.Hold != "" || e.driver.ReceivedAt.After(before) {
				continue
			}
			s.removeEntryLocked(id, e)
			n++
		}
		s.mu.Unlock()
	}

	return n
}

// RemoveUnheard removes drivers of other nodes who hold no offer of ours and
// were last heard at or before the given times: idle for those without a trip,
// onTrip for the others. What other nodes told of them is told again when it is
// needed. It returns how many it removed.
func (d *Drivers) RemoveUnheard(idle, onTrip time.Time) (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for id, e := range s.byID {
			before := idle
			if e.driver.Trip != "" {
				before = onTrip
			}
			if e.driver.Node == d.opts.Node || e.driver.Hold != "" || e.driver.ReceivedAt.After(before) {
				continue
			}
			s.removeEntryLocked(id, e)
			n++
		}
		s.mu.Unlock()
	}

	return n
}

// removeEntryLocked removes an entry. A handle to it may still exist; its next
// Move restores the entry.
func (s *shard) removeEntryLocked(id trips.DriverID, e *entry) {
	if e.cell != nil {
		e.cell.removeDriver(e)
		e.cell = nil
		e.driver.Fix, e.driver.ReceivedAt, e.driver.Cell = location.Fix{}, time.Time{}, 0
	}
	e.driver.Connected = false
	s.statusCount[e.driver.Status]--
	delete(s.byID, id)
}

// restoreLocked puts an entry back that was removed although a handle to it
// exists. What is known under the id meanwhile came from other nodes.
func (d *Drivers) restoreLocked(e *entry) {
	s, id := e.shard, e.driver.ID
	switch known := s.byID[id]; known {
	case e:
		return
	case nil:
	default:
		s.removeEntryLocked(id, known)
	}

	s.byID[id] = e
	s.statusCount[e.driver.Status]++
}
