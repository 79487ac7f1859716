package gateway

import (
	"context"
	"math"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// area is where a rider looks at cars.
type area struct {
	centre location.Point
	metres float64
}

// nearbyCars is the list of cars near a point that a rider's phone shows. The
// newest list overwrites the one before, and no list is made while the phone
// has not read the last one. It has no lock of its own.
type nearbyCars struct {
	area   *area  // nil: the rider looks at no cars
	frame  []byte // the newest list, encoded and not sent
	unread bool   // a list was sent, and the phone has not read it yet
}

// watchArea looks at another area, or at none. It returns true if a list was
// dropped that waited to be sent.
func (c *nearbyCars) watchArea(a *area) (dropped bool) {
	dropped = c.frame != nil
	c.area, c.frame = a, nil
	return dropped
}

// dueArea returns the area of which the phone can take a new list, or nil.
func (c *nearbyCars) dueArea() *area {
	if c.unread {
		return nil
	}
	return c.area
}

// putList keeps a list of an area, which due returned. It is not kept if the
// rider looks elsewhere by now. It may overwrite a list that waits.
func (c *nearbyCars) putList(a *area, frame []byte) (kept, overwrote bool) {
	if c.area != a {
		return false, false
	}
	overwrote = c.frame != nil
	c.frame = frame
	return true, overwrote
}

// takeList removes the list to send, which then counts as unread; nil if there
// is none or the phone has not read the last one.
func (c *nearbyCars) takeList() []byte {
	if c.frame == nil || c.unread {
		return nil
	}
	frame := c.frame
	c.frame, c.unread = nil, true
	return frame
}

// markRead says that the phone has read all lists sent to it; false if none was
// unread.
func (c *nearbyCars) markRead() bool {
	was := c.unread
	c.unread = false
	return was
}

// watchArea sets where a rider looks at cars. A refusal carries the frame's id,
// if it has one.
func (s *session) watchArea(id string, w *wire.WatchArea) {
	at, err := s.checkArea(w)
	if err != nil {
		s.sendRefusal(id, err)
		return
	}
	s.out.watchArea(at)
}

// checkArea returns the area to watch, or nil for none.
func (s *session) checkArea(w *wire.WatchArea) (*area, error) {
	if err := s.requireRole(trips.RoleRider); err != nil {
		return nil, err
	}

	metres := float64(w.GetRadiusM())
	centre := translate.DecodePoint(w.GetCenter())
	switch {
	case metres == 0:
		return nil, nil // the centre does not matter
	case !(metres > 0) || math.IsInf(metres, 0):
		return nil, translate.Refuse(wire.CodeBadField, "The radius_m of watch_area is a number of metres, or 0 to stop.")
	case w.GetCenter() == nil, centre.CheckRange() != nil:
		return nil, translate.Refuse(wire.CodeBadField, "watch_area needs a center with lng in [-180, 180] and lat in [-90, 90].")
	}
	return &area{centre, min(metres, s.g.cfg.Limits.AreaMetres)}, nil
}

// watchArea lists the cars of another area from now on, or none if it is nil.
func (o *sender) watchArea(a *area) {
	o.mu.Lock()
	if o.cars.watchArea(a) {
		o.countMessage(classCars, outcomeOverwritten)
	}
	o.mu.Unlock()

	show := func() {
		if o.findCars(o.g.cfg.Now()) {
			o.flush()
		}
	}
	if a == nil || o.g.cfg.LookAround == nil {
		show()
		return
	}
	o.g.spawn(func() {
		o.g.cfg.LookAround(o.g.base, []sharedstate.Area{o.g.asked(a)})
		show()
	})
}

// asked returns what other nodes are asked about an area.
func (g *Gateway) asked(a *area) sharedstate.Area {
	return sharedstate.Area{Point: a.centre, Metres: a.metres, Limit: g.cfg.Limits.AreaCars}
}

// watchedArea returns where the rider looks at cars, or nil.
func (o *sender) watchedArea() *area {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cars.area
}

// refreshAreas asks for the cars of all watched areas, which the next lists
// show. It does not wait for the answers. Phones that look at the same place
// are one question.
func (g *Gateway) refreshAreas(watched []*area) {
	if g.cfg.LookAround == nil || len(watched) == 0 {
		return
	}

	seen := map[area]bool{}
	var areas []sharedstate.Area
	for _, a := range watched {
		if !seen[*a] {
			seen[*a] = true
			areas = append(areas, g.asked(a))
		}
	}

	select {
	case g.areasWatched <- areas:
	default: // the last ones are asked for still
	}
}

// lookAroundAreas asks for the cars of watched areas until ctx ends.
func (g *Gateway) lookAroundAreas(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case areas := <-g.areasWatched:
			g.cfg.LookAround(ctx, areas)
		}
	}
}

// findCars makes a list of the area's cars if the phone has read the last one.
// If it returns true the caller must call flush.
func (o *sender) findCars(now time.Time) bool {
	o.mu.Lock()
	at := o.cars.dueArea()
	o.mu.Unlock()

	if at == nil {
		return false
	}

	near := o.g.cfg.Drivers.FindAround(at.centre, at.metres, o.g.cfg.Limits.AreaCars, nil)
	list := &wire.Cars{Cars: make([]*wire.Car, 0, len(near))}
	for _, d := range near {
		if d.Connected && d.Status != sharedstate.NonOperational {
			list.Cars = append(list.Cars, translate.EncodeStrangersCar(d, now))
		}
	}

	data, err := o.conn.codec.Append(nil, &wire.ServerFrame{Body: &wire.ServerFrame_Cars{Cars: list}})
	if err != nil {
		o.g.cfg.Log.Error("cars cannot be encoded", "err", err)
		return false
	}

	o.mu.Lock()
	defer o.mu.Unlock()

	kept, overwrote := o.cars.putList(at, data)
	if overwrote {
		o.countMessage(classCars, outcomeOverwritten)
	}

	return kept
}

// ackCars says that the phone has read all lists of cars.
func (o *sender) ackCars() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cars.markRead() {
		o.countMessage(classCars, outcomeShown)
	}
}
