package simulators

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// maxTrackedTrips is how many trips a checker remembers. Late chat may arrive
// for a trip that ended.
const maxTrackedTrips = 4

// protocolChecker reports every frame that the node should not have sent. It
// shares no code with the client, so that it also checks the client's
// bookkeeping. One goroutine owns it.
type protocolChecker struct {
	// Fixed at creation.
	stats    *Stats
	record   func(journal.Record) // nil without a journal
	role, id string

	tracks     []*tripTrack          // at most maxTrackedTrips, newest last
	sosReports map[string]*sosReport // by id of the call

	// The positions of this connection.
	lastN, ackedN uint32
	lastDriver    string
	lastAtMs      float64 // of the last position of that driver
}

// sosReport says that an operator has seen a call for help.
type sosReport struct {
	trip           string
	thisConnection bool // the node said so on this connection
}

// tripTrack holds what has been received of one trip.
type tripTrack struct {
	trip        string
	readVersion uint32          // newest version in a welcome or an ack
	lastEvent   uint32          // number of the last event
	knownChat   uint32          // all messages up to this number are known
	ownChats    map[uint32]bool // our own messages above knownChat, by number
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

// trackFor returns the track of a trip, a new one if there is none.
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

// checkWelcome begins a connection. Unless the node sends what was missed, the
// trip stands as the welcome says.
func (c *protocolChecker) checkWelcome(m *wire.Welcome) {
	c.lastN, c.ackedN = 0, 0

	for id, said := range c.sosReports {
		said.thisConnection = false
		if !slices.ContainsFunc(c.tracks, func(t *tripTrack) bool { return t.trip == said.trip }) {
			delete(c.sosReports, id)
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

// forgetLastPosition is called after a connection to another node. That node
// may hold an older position of the car than the one shown.
func (c *protocolChecker) forgetLastPosition() { c.lastDriver, c.lastAtMs = "", 0 }

// noteTripRead notes the version of a trip in an ack.
func (c *protocolChecker) noteTripRead(trip *wire.Trip) {
	t := c.trackFor(trip.Id)
	t.readVersion = max(t.readVersion, trip.Version)
}

// checkEvent checks that the events of a trip arrive in order without gaps. A
// version that was read meanwhile excuses the missing events before it, and so
// does the first sight of a trip.
func (c *protocolChecker) checkEvent(e *wire.TripEvent) {
	t := c.trackFor(e.TripId)
	switch {
	case e.Seq <= t.lastEvent:
		c.addViolation("trip %s: event %d came after event %d", t.trip, e.Seq, t.lastEvent)
	case e.Seq > t.lastEvent+1 && e.Seq > t.readVersion+1 && (t.lastEvent > 0 || t.readVersion > 0):
		c.addViolation("trip %s: event %d follows event %d", t.trip, e.Seq, t.lastEvent)
	}

	t.lastEvent, t.readVersion = max(t.lastEvent, e.Seq), max(t.readVersion, e.Seq)
}

// noteOwnChat notes the number that the node gave to our own message.
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

// skipOwnChats moves knownChat past our own messages.
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

// checkChat checks that messages arrive without gaps and repeats. It returns
// whether the message is new and from the other user. The node may or may not
// send our own messages back; inFlight of them have no number yet.
func (c *protocolChecker) checkChat(m *wire.ChatMessage, inFlight int) bool {
	t := c.trackFor(m.TripId)
	foreign := m.From != c.role
	if m.Seq <= t.knownChat {
		if foreign {
			c.addViolation("trip %s: message %d came after message %d", t.trip, m.Seq, t.knownChat)
		}
		return false
	}

	missing := 0
	for seq := t.knownChat + 1; seq < m.Seq && missing <= inFlight; seq++ {
		if !t.ownChats[seq] {
			missing++
		}
	}

	if missing > inFlight {
		c.addViolation("trip %s: message %d follows message %d", t.trip, m.Seq, t.knownChat)
	}
	t.knownChat = m.Seq
	t.skipOwnChats()
	return foreign
}

// checkSOSSeen checks that a connection reports a call for help at most once.
// It returns whether this is the first report.
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

// checkFixRefused checks that a frame about refused fixes counts some, says why
// and goes to a driver: the simulators' riders send none.
func (c *protocolChecker) checkFixRefused(f *wire.FixRefused) {
	if f.Count == 0 || f.Reason == "" || f.Message == "" || c.role != client.RoleDriver {
		c.addViolation("%d fixes were refused because of %q: %q", f.Count, f.Reason, f.Message)
	}
}

// checkPosition checks that a car never goes back in time at one node, and that
// the node sends no more positions than were acked; the client acks every
// second one. It returns whether the position is an update. The first one of a
// connection or of a driver is not: it may be old.
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
