package sharedstate

import (
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Counts is a census of the drivers and of their fixes.
type Counts struct {
	Drivers  int
	Status   map[Status]int
	Accepted uint64 // Fixes accepted since the start.
	Rejected map[location.RejectReason]uint64
	// Calls of Reserve that got their driver, and those that did not.
	Reserved, NotReserved uint64
	Cells                 int // Cells that a driver was ever in.
}

// Counts returns how many drivers have each status, and how many fixes were
// accepted and refused. An available driver who is disconnected, or silent for
// longer than OfflineAfter, counts as NonContactable. The shards are counted
// one after the other, so the sums are not one instant's.
func (d *Drivers) Counts() Counts {
	since := d.heardSince(d.opts.OfflineAfter)
	c := Counts{Status: map[Status]int{}, Rejected: map[location.RejectReason]uint64{}}
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		c.Drivers += len(s.byID)
		c.Accepted += s.accepted
		c.Reserved += s.reserved
		c.NotReserved += s.notReserved
		for st, n := range s.statusCount {
			c.Status[st] += n
		}
		offline := s.countOffline(since)
		c.Status[Available] -= offline
		c.Status[NonContactable] += offline
		for r, n := range s.rejects {
			c.Rejected[r] += n
		}
		s.mu.RUnlock()
	}

	d.cells.mu.RLock()
	c.Cells = len(d.cells.cells)
	d.cells.mu.RUnlock()
	return c
}

// countOffline returns how many available drivers cannot be reached. The caller
// holds the shard's lock.
func (s *shard) countOffline(since time.Time) (n int) {
	for _, e := range s.byID {
		if e.driver.Status == Available && (!e.driver.Connected || e.driver.ReceivedAt.Before(since)) {
			n++
		}
	}
	return n
}

// CheckInvariants compares all maps with each other and returns every
// disagreement. It holds all shard locks meanwhile, so that every other call
// waits: call it after a run and not on a busy node.
func (d *Drivers) CheckInvariants() error {
	for i := range d.shards {
		d.shards[i].mu.Lock()
		defer d.shards[i].mu.Unlock()
	}

	var errs []error
	located := 0
	for i := range d.shards {
		s := &d.shards[i]
		count := map[Status]int{}
		for id, e := range s.byID {
			count[e.driver.Status]++
			if e.cell != nil {
				located++
			}
			if err := e.checkConsistency(); err != nil {
				errs = append(errs, fmt.Errorf("driver %s: %w", id, err))
			}
		}

		for st, n := range s.statusCount {
			if count[st] != n {
				errs = append(errs, fmt.Errorf("shard %d counts %d drivers %s, has %d", i, n, st, count[st]))
			}
		}
	}

	return errors.Join(append(errs, d.cells.checkConsistency(located))...)
}

// checkConsistency compares the entry with its cell's copy of it. The caller
// holds the shard's lock.
func (e *entry) checkConsistency() error {
	if e.driver.Status != e.deriveStatus() {
		return fmt.Errorf("is marked %s, should be %s", e.driver.Status, e.deriveStatus())
	}
	if (e.cell != nil) != e.driver.HasPosition() {
		return errors.New("has a position but no cell, or a cell but no position")
	}
	if e.cell == nil {
		return nil
	}

	e.cell.mu.RLock()
	defer e.cell.mu.RUnlock()

	i := int(e.cellSlot.Load())
	if i >= len(e.cell.drivers) || e.cell.drivers[i].entry != e {
		return fmt.Errorf("is not in cell %s, where it should be", e.cell.hexagon.Cell)
	}
	if c := e.cell.drivers[i]; c.point != e.driver.Fix.Point || c.free != e.isFree() || c.seenNanos != e.driver.ReceivedAt.UnixNano() {
		return fmt.Errorf("cell %s knows other facts", e.cell.hexagon.Cell)
	}
	if c, err := location.CellOf(e.driver.Fix.Point); err != nil || c != e.driver.Cell || c != e.cell.hexagon.Cell {
		return fmt.Errorf("is filed in cell %s, stands in %s (%v)", e.driver.Cell, c, err)
	}

	return nil
}

// checkConsistency compares the counters of cells and parents with what they
// hold. located is the number of drivers with a position.
func (g *cellIndex) checkConsistency(located int) error {
	g.mu.RLock()
	defer g.mu.RUnlock()

	var errs []error
	cars, perBlock := 0, map[*parentCell]int64{}
	for _, t := range g.cells {
		t.mu.RLock()
		cars += len(t.drivers)
		perBlock[t.parent] += int64(len(t.drivers))
		if int(t.driverCount.Load()) != len(t.drivers) {
			errs = append(errs, fmt.Errorf("cell %s counts %d cars, has %d", t.hexagon.Cell, t.driverCount.Load(), len(t.drivers)))
		}

		free := 0
		for i := range t.drivers {
			if t.drivers[i].free {
				free++
			}
		}

		if int(t.freeCount.Load()) != free {
			errs = append(errs, fmt.Errorf("cell %s counts %d free cars, has %d", t.hexagon.Cell, t.freeCount.Load(), free))
		}
		t.mu.RUnlock()
	}

	for c, b := range g.parents {
		if b.driverCount.Load() != perBlock[b] {
			errs = append(errs, fmt.Errorf("block %s counts %d cars, has %d", c, b.driverCount.Load(), perBlock[b]))
		}
	}

	if cars != located {
		errs = append(errs, fmt.Errorf("cells hold %d cars, %d drivers have a position", cars, located))
	}
	return errors.Join(errs...)
}
