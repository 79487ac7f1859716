package gateway

import "github.com/ridehail/ridehail/trips"

// Traffic is what the sockets of a node carry now.
type Traffic struct {
	Riders, Drivers RoleTraffic
	// Waiting counts the messages that wait to be written to a phone, those that
	// are being written too, by the class that the metric
	// ridehail_delivery_total names.
	Waiting map[string]int
	// Commands counts the commands of phones that wait or are carried out.
	Commands int
}

// RoleTraffic is Traffic of the phones of riders, or of drivers. Read and
// Written count the frames since the start, also of phones that have left.
type RoleTraffic struct {
	Read, Written uint64
	Phones        int
	Slow          int // phones that have not read what was sent, so that more waits
}

// frameCounts are the frames of sessions that have ended. It has no lock of its
// own.
type frameCounts struct{ read, written uint64 }

// Traffic looks at each session, so it is for those who ask once a second. It
// may be called from any goroutine.
func (g *Gateway) Traffic() Traffic {
	g.presence.Lock()
	t := Traffic{Riders: RoleTraffic{Read: g.leftRiders.read, Written: g.leftRiders.written},
		Drivers: RoleTraffic{Read: g.leftDrivers.read, Written: g.leftDrivers.written}, Waiting: map[string]int{}}
	all := g.sessions.All(nil)
	g.presence.Unlock()

	for _, s := range all {
		to := &t.Riders
		if s.user.Role == trips.RoleDriver {
			to = &t.Drivers
		}
		to.Phones++
		to.Read += s.conn.framesRead.Load()
		written, slow := s.out.countWaiting(t.Waiting)
		to.Written += written
		if slow {
			to.Slow++
		}

		s.mu.Lock()
		t.Commands += s.commands.count()
		s.mu.Unlock()
	}
	return t
}

// keepFramesOf adds the frames of a session that leaves to those of sessions
// that have ended. The caller holds presence.
func (g *Gateway) keepFramesOf(s *session) {
	left := &g.leftRiders
	if s.user.Role == trips.RoleDriver {
		left = &g.leftDrivers
	}
	left.read += s.conn.framesRead.Load()
	s.out.mu.Lock()
	left.written += s.out.framesWritten
	s.out.mu.Unlock()
}

// slowQueue is how many frames wait only for a phone that does not read: one or
// two wait for each phone now and then, for a goroutine that writes them.
const slowQueue = 8

// countWaiting adds what waits for the phone to waiting, by class, and returns
// how many frames were written to it. The phone is slow while several frames
// wait, or while the position or the list of cars waits for its ack.
func (o *sender) countWaiting(waiting map[string]int) (written uint64, slow bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.underWay != nothingUnderWay {
		waiting[classNames[o.underWay-1]]++
	}
	for _, f := range o.queue.frames {
		waiting[classNames[f.class]]++
	}
	if o.position.fresh {
		waiting[classNames[classPosition]]++
	}
	if o.cars.frame != nil {
		waiting[classNames[classCars]]++
	}
	slow = len(o.queue.frames) >= slowQueue || o.position.fresh && !o.position.isReady() || o.cars.frame != nil && o.cars.unread
	return o.framesWritten, slow && o.open
}
