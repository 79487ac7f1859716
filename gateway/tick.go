package gateway

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/internal/detector"
	"github.com/ridehail/ridehail/wire"
)

// carsPing marks the ping that follows a list of cars: its pong says that the
// phone has read the list.
const carsPing = "cars"

// pingWithin bounds how long a ping may hold up the tick.
const pingWithin = 50 * time.Millisecond

// watchOurselves beats the guard over silence while this node is awake, until
// ctx ends. After a pause of the node itself, its drivers do not count as
// silent.
func (g *Gateway) watchOurselves(ctx context.Context) {
	guard := g.cfg.Drivers.Guard()
	beat := time.NewTicker(detector.BeatInterval)
	defer beat.Stop()
	for ctx.Err() == nil {
		if away := guard.RecordBeat(g.cfg.Now()); away > 0 {
			g.cfg.Log.Warn("this node was away; it counts no driver's silence of that time", "away", away)
		}
		select {
		case <-ctx.Done():
		case <-beat.C:
		}
	}
}

// tickSessions visits every session once: it ends those whose token has ended,
// pings silent phones, and sends riders what they watch.
func (g *Gateway) tickSessions() {
	now := g.cfg.Now()
	lost := g.cfg.Drivers.Guard().SilenceCutoff(now, detector.CommsLostAfter)
	g.recordLost(now.Add(-comebackWithin))
	var watched []*area
	for _, s := range g.sessions.All(nil) {
		switch silent := now.Sub(time.Unix(0, s.conn.lastHeard.Load())); {
		case s.conn.hasEnded():
			continue
		case now.After(s.until.Add(auth.ClockLeeway)):
			s.conn.closeWith(wire.CloseTokenEnded, "your token has ended: come back with a new one")
			continue
		case silent > g.cfg.Limits.PingAfter:
			s.conn.sendPing("", pingWithin)
		}

		s.out.checkContact(now, lost)
		refused := s.out.sendRefusals(now)
		if s.out.findCars(now) || refused {
			// A phone that does not read must not delay the others.
			g.spawn(s.out.flush)
		}
		if at := s.out.watchedArea(); at != nil {
			watched = append(watched, at)
		}
	}
	g.refreshAreas(watched)
}
