package sharedstate

import (
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// Counts is a census.
type Counts struct {
	Drivers  int
	Status   map[Status]int
	Believed uint64
	Refused  map[location.Reason]uint64
	Cells    int
}

// Counts returns how many drivers stand where, and how many fixes were believed
// and refused. An available driver who is not connected, or silent for longer
// than OfflineAfter, counts as NonContactable.
func (d *Drivers) Counts() Counts {
	since := d.heardSince(d.opts.OfflineAfter)
	c := Counts{Status: map[Status]int{}, Refused: map[location.Reason]uint64{}}
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.RLock()
		c.Drivers += len(s.byID)
		c.Believed += s.moves
		for st, n := range s.count {
			c.Status[st] += n
		}
		offline := s.offline(since)
		c.Status[Available] -= offline
		c.Status[NonContactable] += offline
		for r, n := range s.nays {
			c.Refused[r] += n
		}
		s.mu.RUnlock()
	}

	d.ground.mu.RLock()
	c.Cells = len(d.ground.tiles)
	d.ground.mu.RUnlock()
	return c
}

// offline counts the available drivers who cannot be reached.
func (s *shard) offline(since time.Time) (n int) {
	for _, e := range s.byID {
		if e.d.Status == Available && (!e.d.Connected || e.d.ReceivedAt.Before(since)) {
			n++
		}
	}
	return n
}

// Check compares all maps with each other and reports every disagreement. It
// stops the world meanwhile.
func (d *Drivers) Check() error {
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
			count[e.d.Status]++
			if e.tile != nil {
				located++
			}
			if err := e.check(); err != nil {
				errs = append(errs, fmt.Errorf("driver %s: %w", id, err))
			}
		}

		for st, n := range s.count {
			if count[st] != n {
				errs = append(errs, fmt.Errorf("shard %d counts %d drivers %s, has %d", i, n, st, count[st]))
			}
		}
	}

	return errors.Join(append(errs, d.ground.check(located))...)
}

func (e *entry) check() error {
	if e.d.Status != e.status() {
		return fmt.Errorf("is marked %s, should be %s", e.d.Status, e.status())
	}
	if (e.tile != nil) != e.d.Located() {
		return errors.New("has a position but no cell, or a cell but no position")
	}
	if e.tile == nil {
		return nil
	}

	e.tile.mu.RLock()
	defer e.tile.mu.RUnlock()

	i := int(e.slot.Load())
	if i >= len(e.tile.cars) || e.tile.cars[i].e != e {
		return fmt.Errorf("is not in cell %s, where it should be", e.tile.shape.Cell)
	}
	if c := e.tile.cars[i]; c.at != e.d.Fix.Point || c.free != e.free() || c.seen != e.d.ReceivedAt.UnixNano() {
		return fmt.Errorf("cell %s knows other facts", e.tile.shape.Cell)
	}
	if c, err := location.CellOf(e.d.Fix.Point); err != nil || c != e.d.Cell || c != e.tile.shape.Cell {
		return fmt.Errorf("is filed in cell %s, stands in %s (%v)", e.d.Cell, c, err)
	}

	return nil
}

// check compares the tiles' and blocks' counters with what they hold.
func (g *ground) check(located int) error {
	g.mu.RLock()
	defer g.mu.RUnlock()

	var errs []error
	cars, perBlock := 0, map[*block]int64{}
	for _, t := range g.tiles {
		t.mu.RLock()
		cars += len(t.cars)
		perBlock[t.block] += int64(len(t.cars))
		if int(t.n.Load()) != len(t.cars) {
			errs = append(errs, fmt.Errorf("cell %s counts %d cars, has %d", t.shape.Cell, t.n.Load(), len(t.cars)))
		}

		free := 0
		for i := range t.cars {
			if t.cars[i].free {
				free++
			}
		}

		if int(t.free.Load()) != free {
			errs = append(errs, fmt.Errorf("cell %s counts %d free cars, has %d", t.shape.Cell, t.free.Load(), free))
		}
		t.mu.RUnlock()
	}

	for c, b := range g.blocks {
		if b.n.Load() != perBlock[b] {
			errs = append(errs, fmt.Errorf("block %s counts %d cars, has %d", c, b.n.Load(), perBlock[b]))
		}
	}

	if cars != located {
		errs = append(errs, fmt.Errorf("cells hold %d cars, %d drivers have a position", cars, located))
	}
	return errors.Join(errs...)
}
