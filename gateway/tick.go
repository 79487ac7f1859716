package gateway

import (
	"context"
	"math"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// carsPing marks the ping that follows a frame of cars: its pong says that the phone has read them.
const carsPing = "cars"

// watchOurselves tells the guard over silence that this node is awake, until ctx ends.
func (g *Gateway) watchOurselves(ctx context.Context) {
	guard := g.cfg.Drivers.Guard()
	beat := time.NewTicker(detector.BeatEvery)
	defer beat.Stop()
	for ctx.Err() == nil {
		if away := guard.Beat(g.cfg.Now()); away > 0 {
			g.cfg.Log.Warn("this node was away; it counts no driver's silence of that time", "away", away)
		}
		select {
		case <-ctx.Done():
		case <-beat.C:
		}
	}
}

// tick looks at every session once.
func (g *Gateway) tick() {
	now := g.cfg.Now()
	lost := g.cfg.Drivers.Guard().Cutoff(now, detector.CommsLostAfter)
	for _, s := range g.sessions.All(nil) {
		switch silent := now.Sub(time.Unix(0, s.heard.Load())); {
		case s.code.Load() != 0:
			continue
		case now.After(s.until.Add(auth.ClockLeeway)):
			s.end(wire.CloseTokenEnded, "your token has ended: come back with a new one")
			continue
		case silent > g.cfg.Limits.PingAfter:
			// It fails when the socket's buffer is full or the phone is gone; silence then ends the session.
			_ = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(50*time.Millisecond))
		}
		s.watchComms(now, lost)
		if s.findCars(now) {
			g.spawn(s.flush) // a phone that does not read delays nobody's tick
		}
	}
}

// watchComms tells a rider once that the driver's phone was last heard before lost. The trip goes on.
func (s *session) watchComms(now, lost time.Time) {
	s.mu.Lock()
	c := &s.car
	age := now.Sub(c.received)
	silent := c.driver != "" && !c.comms && !c.received.IsZero() && c.received.Before(lost)
	c.comms = c.comms || silent
	trip, driver := s.talk.trip, c.driver
	s.mu.Unlock()
	if silent {
		s.send(commsFrame(trip, driver, true, age))
	}
}

// watchArea sets where a rider looks at cars.
func (s *session) watchArea(w *wire.WatchArea) {
	if err := s.requireRole(trips.RoleRider); err != nil {
		s.refuse("", err)
		return
	}
	var at *area
	if r := float64(w.GetRadiusM()); r > 0 && w.GetCenter() != nil {
		p := translate.PointOf(w.Center)
		if p.Check() != nil || math.IsNaN(r) {
			s.refuse("", translate.Refuse(wire.CodeBadField, "watch_area needs a center with lng in [-180, 180] and lat in [-90, 90]."))
			return
		}
		at = &area{p, min(r, s.g.cfg.Limits.AreaMetres)}
	}
	s.mu.Lock()
	if s.cars != nil {
		s.count(classCars, outcomeOverwritten)
	}
	s.area, s.cars = at, nil
	s.mu.Unlock()
	if s.findCars(s.g.cfg.Now()) {
		s.flush()
	}
}

// findCars readies the cars of the area to be sent, if the phone has read the last ones.
func (s *session) findCars(now time.Time) bool {
	s.mu.Lock()
	at, busy := s.area, s.carsOut
	s.mu.Unlock()
	if at == nil || busy {
		return false
	}
	near := s.g.cfg.Drivers.Around(at.centre, at.metres, s.g.cfg.Limits.AreaCars, nil)
	cars := &wire.Cars{Cars: make([]*wire.Car, 0, len(near))}
	for _, d := range near {
		if d.Connected && d.Status != sharedstate.NonOperational {
			cars.Cars = append(cars.Cars, translate.StrangersCar(d, now))
		}
	}
	data, err := s.codec.Append(nil, &wire.ServerFrame{Body: &wire.ServerFrame_Cars{Cars: cars}})
	if err != nil {
		s.g.cfg.Log.Error("cars cannot be encoded", "err", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.area != at {
		return false // the rider looks elsewhere by now, or not any more
	}
	if s.left {
		return false
	}
	if s.cars != nil {
		s.count(classCars, outcomeOverwritten)
	}
	s.cars = data
	return true
}

func (s *session) pingForCars() {
	_ = s.conn.WriteControl(websocket.PingMessage, []byte(carsPing), time.Now().Add(writeWithin))
}

func (s *session) carsShown() {
	s.mu.Lock()
	if s.carsOut {
		s.count(classCars, outcomeShown)
	}
	s.carsOut = false
	s.mu.Unlock()
}
