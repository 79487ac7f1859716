package simulators

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// maxTrackedTrips is how many trips a witness keeps the numbers of: late chat may
// still come for one that ended.
const maxTrackedTrips = 4

// protocolChecker reports every frame that the node should not have sent. It shares no
// code with the client, whose bookkeeping it checks too.
type protocolChecker struct {
	stats    *Stats
	record   func(journal.Record) // nil: nobody keeps a journal
	role, id string
	tracks   []*tripTrack // newest trip last
	// by id, calls for help that an operator has seen
	sosReports map[string]*sosReport
	// positions of this connection: the last one, and the last one acked
	lastN, ackedN uint32
	lastDriver    string
	lastAtMs      float64 // of the last position of that driver, ms
}

// sosReport is what the node said of one call for help.
type sosReport struct {
	trip           string
	thisConnection bool // said on this connection
}

// tripTrack is how far one trip is known.
type tripTrack struct {
	trip        string
	readVersion uint32          // the trip was read at this version
	lastEvent   uint32          // last event
	knownChat   uint32          // all messages up to this number are known
	ownChats    map[uint32]bool // numbers above chat that acks gave our own messages
}

func newProtocolChecker(stats *Stats, role, id string) *protocolChecker {
	return &protocolChecker{stats: stats, role: role, id: id, sosReports: map[string]*sosReport{}}
}

func (c *protocolChecker) addViolation(format string, args ...any) {
	c.stats.addViolation("%s %s: "+format, append([]any{c.role, c.id}, args...)...)
	c.addRecord(journal.Record{What: journal.Broken, Text: fmt.Sprintf(format, args...)})
}

func (c *protocolChecker) addRecord(r journal.Record) {
	if c.record != nil {
		c.record(r)
	}
}

// trackFor returns a trip's track, a new one if it has none.
func (c *protocolChecker) trackFor(trip string) *tripTrack {
	for _, t := range c.tracks {
		if t.trip == trip {
			return t
		}
	}

	if len(c.tracks) == maxTrackedTrips {
		c.tracks = append(c.tracks[:0], c.tracks[1:]...)
	}

	t := &tripTrack{trip: trip}
	c.tracks = append(c.tracks, t)
	return t
}

// checkWelcome begins a connection. When nothing is made up for, things stand as the
// welcome says.
func (c *protocolChecker) checkWelcome(m *wire.Welcome) {
	c.lastN, c.ackedN = 0, 0

	for id, said := range c.sosReports {
		said.thisConnection = false
		if !slices.ContainsFunc(c.tracks, func(t *tripTrack) bool { return t.trip == said.trip }) {
			delete(c.sosReports, id) // of long ago
		}
	}

	if m.Trip == nil {
		return
	}
	t := c.trackFor(m.Trip.Id)
	if m.Trip.Version < t.lastEvent {
		c.addViolation("trip %s stands at %d after event %d", t.trip, m.Trip.Version, t.lastEvent)
	}
	t.readVersion = max(t.readVersion, m.Trip.Version)

	if !m.Recovered {
		t.lastEvent = max(t.lastEvent, m.Trip.Version)
		t.knownChat = max(t.knownChat, m.ChatSeq)
		t.skipOwnChats()
	}
}

// forgetLastPosition begins a connection to another node. It may have heard of the car
// later than the node before it did: the phone goes on showing the newer place.
func (c *protocolChecker) forgetLastPosition() { c.lastDriver, c.lastAtMs = "", 0 }

// noteTripRead notes a trip that an ack carried.
func (c *protocolChecker) noteTripRead(trip *wire.Trip) {
	t := c.trackFor(trip.Id)
	t.readVersion = max(t.readVersion, trip.Version)
}

// checkEvent checks that a trip's events come one by one; a version that was read
// meanwhile excuses the events before it.
func (c *protocolChecker) checkEvent(e *wire.TripEvent) {
	t := c.trackFor(e.TripId)
	switch {
	case e.Seq <= t.lastEvent:
		c.addViolation("trip %s: event %d came after event %d", t.trip, e.Seq, t.lastEvent)
	case e.Seq > t.lastEvent+1 && e.Seq > t.readVersion+1 && (t.lastEvent > 0 || t.readVersion > 0):
		// the first sight of a trip may be late
		c.addViolation("trip %s: event %d follows event %d", t.trip, e.Seq, t.lastEvent)
	}

	t.lastEvent, t.readVersion = max(t.lastEvent, e.Seq), max(t.readVersion, e.Seq)
}

// noteOwnChat notes the number of a message of ours.
func (c *protocolChecker) noteOwnChat(trip string, seq uint32) {
	t := c.trackFor(trip)
	if seq > t.knownChat {
		if t.ownChats == nil {
			t.ownChats = make(map[uint32]bool)
		}
		t.ownChats[seq] = true
		t.skipOwnChats()
	}
}

func (t *tripTrack) skipOwnChats() {
	for seq := range t.ownChats {
		if seq <= t.knownChat {
			delete(t.ownChats, seq)
		}
	}

	for t.ownChats[t.knownChat+1] {
		t.knownChat++
		delete(t.ownChats, t.knownChat)
	}
}

// checkChat checks that messages come without gaps and repeats, and says whether
// this is a new one from the other side. Our own messages may or may not be
// sent back to us; up to speaking of them are under way, and their numbers
// unknown.
func (c *protocolChecker) checkChat(m *wire.ChatMessage, speaking int) bool {
	t := c.trackFor(m.TripId)
	foreign := m.From != c.role
	if m.Seq <= t.knownChat {
		if foreign {
			c.addViolation("trip %s: message %d came after message %d", t.trip, m.Seq, t.knownChat)
		}
		return false
	}

	missing := 0
	for seq := t.knownChat + 1; seq < m.Seq && missing <= speaking; seq++ {
		if !t.ownChats[seq] {
			missing++
		}
	}

	if missing > speaking {
		c.addViolation("trip %s: message %d follows message %d", t.trip, m.Seq, t.knownChat)
	}
	t.knownChat = m.Seq
	t.skipOwnChats()
	return foreign
}

// checkSOSSeen checks that a connection tells of a call for help once, and says
// whether this is the first word of it.
func (c *protocolChecker) checkSOSSeen(s *wire.SosSeen) (first bool) {
	said := c.sosReports[s.Id]
	if said == nil {
		c.sosReports[s.Id] = &sosReport{s.TripId, true}
		return true
	}
	if said.thisConnection || said.trip != s.TripId {
		c.addViolation("trip %s: the call for help %s was seen again, on trip %s", said.trip, s.Id, s.TripId)
	}
	said.thisConnection = true
	return false
}

// checkPosition checks that a car never goes back in time at one node and that the
// node keeps to its credit, which the client gives back for every second
// position. It returns whether this is an update: the first position of a
// connection or of a driver only says where the car was when it was last heard
// of.
func (c *protocolChecker) checkPosition(p *wire.Position) (update bool) {
	if p.N > c.ackedN+2 || p.N <= c.lastN {
		c.addViolation("position %d came after %d with %d acked", p.N, c.lastN, c.ackedN)
	}

	if p.DriverId == c.lastDriver && p.AtMs < c.lastAtMs {
		c.addViolation("driver %s went back by %.1f ms", p.DriverId, c.lastAtMs-p.AtMs)
		c.addRecord(journal.Record{What: journal.Back, Driver: p.DriverId, BehindMs: c.lastAtMs - p.AtMs, Count: p.N})
	}
	update = c.lastN > 0 && p.DriverId == c.lastDriver && p.AtMs != c.lastAtMs
	c.lastN, c.lastDriver, c.lastAtMs = p.N, p.DriverId, p.AtMs
	if p.N >= c.ackedN+2 {
		c.ackedN = p.N
	}
	return update
}
