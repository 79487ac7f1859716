package simulators

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// remembered is how many trips a witness keeps the numbers of: late chat may
// still come for one that ended.
const remembered = 4

// witness reports every frame that the node should not have sent. It shares no
// code with the client, whose bookkeeping it checks too.
type witness struct {
	stats    *Stats
	note     func(journal.Record) // nil: nobody keeps a journal
	role, id string
	tracks   []*track // newest trip last
	// by id, calls for help that an operator has seen
	help map[string]*word
	// positions of this connection: the last one, and the last one acked
	n, creditN uint32
	driver     string
	at         float64 // of the last position of that driver, ms
}

// word is what the node said of one call for help.
type word struct {
	trip  string
	fresh bool // said on this connection
}

// track is how far one trip is known.
type track struct {
	trip  string
	known uint32          // the trip was read at this version
	seen  uint32          // last event
	chat  uint32          // all messages up to this number are known
	mine  map[uint32]bool // numbers above chat that acks gave our own messages
}

func newWitness(stats *Stats, role, id string) *witness {
	return &witness{stats: stats, role: role, id: id, help: map[string]*word{}}
}

func (w *witness) violate(format string, args ...any) {
	w.stats.violate("%s %s: "+format, append([]any{w.role, w.id}, args...)...)
	w.tell(journal.Record{What: journal.Broken, Text: fmt.Sprintf(format, args...)})
}

func (w *witness) tell(r journal.Record) {
	if w.note != nil {
		w.note(r)
	}
}

// of returns a trip's track, a new one if it has none.
func (w *witness) of(trip string) *track {
	for _, t := range w.tracks {
		if t.trip == trip {
			return t
		}
	}

	if len(w.tracks) == remembered {
		w.tracks = append(w.tracks[:0], w.tracks[1:]...)
	}

	t := &track{trip: trip}
	w.tracks = append(w.tracks, t)
	return t
}

// welcome begins a connection. When nothing is made up for, things stand as the
// welcome says.
func (w *witness) welcome(m *wire.Welcome) {
	w.n, w.creditN = 0, 0

	for id, said := range w.help {
		said.fresh = false
		if !slices.ContainsFunc(w.tracks, func(t *track) bool { return t.trip == said.trip }) {
			delete(w.help, id) // of long ago
		}
	}

	if m.Trip == nil {
		return
	}
	t := w.of(m.Trip.Id)
	if m.Trip.Version < t.seen {
		w.violate("trip %s stands at %d after event %d", t.trip, m.Trip.Version, t.seen)
	}
	t.known = max(t.known, m.Trip.Version)

	if !m.Recovered {
		t.seen = max(t.seen, m.Trip.Version)
		t.chat = max(t.chat, m.ChatSeq)
		t.fill()
	}
}

// elsewhere begins a connection to another node. It may have heard of the car
// later than the node before it did: the phone goes on showing the newer place.
func (w *witness) elsewhere() { w.driver, w.at = "", 0 }

// read notes a trip that an ack carried.
func (w *witness) read(trip *wire.Trip) {
	t := w.of(trip.Id)
	t.known = max(t.known, trip.Version)
}

// event checks that a trip's events come one by one; a version that was read
// meanwhile excuses the events before it.
func (w *witness) event(e *wire.TripEvent) {
	t := w.of(e.TripId)
	switch {
	case e.Seq <= t.seen:
		w.violate("trip %s: event %d came after event %d", t.trip, e.Seq, t.seen)
	case e.Seq > t.seen+1 && e.Seq > t.known+1 && (t.seen > 0 || t.known > 0):
		// the first sight of a trip may be late
		w.violate("trip %s: event %d follows event %d", t.trip, e.Seq, t.seen)
	}

	t.seen, t.known = max(t.seen, e.Seq), max(t.known, e.Seq)
}

// said notes the number of a message of ours.
func (w *witness) said(trip string, seq uint32) {
	t := w.of(trip)
	if seq > t.chat {
		if t.mine == nil {
			t.mine = make(map[uint32]bool)
		}
		t.mine[seq] = true
		t.fill()
	}
}

func (t *track) fill() {
	for seq := range t.mine {
		if seq <= t.chat {
			delete(t.mine, seq)
		}
	}

	for t.mine[t.chat+1] {
		t.chat++
		delete(t.mine, t.chat)
	}
}

// chat checks that messages come without gaps and repeats, and says whether
// this is a new one from the other side. Our own messages may or may not be
// sent back to us; up to speaking of them are under way, and their numbers
// unknown.
func (w *witness) chat(m *wire.ChatMessage, speaking int) bool {
	t := w.of(m.TripId)
	foreign := m.From != w.role
	if m.Seq <= t.chat {
		if foreign {
			w.violate("trip %s: message %d came after message %d", t.trip, m.Seq, t.chat)
		}
		return false
	}

	missing := 0
	for seq := t.chat + 1; seq < m.Seq && missing <= speaking; seq++ {
		if !t.mine[seq] {
			missing++
		}
	}

	if missing > speaking {
		w.violate("trip %s: message %d follows message %d", t.trip, m.Seq, t.chat)
	}
	t.chat = m.Seq
	t.fill()
	return foreign
}

// helped checks that a connection tells of a call for help once, and says
// whether this is the first word of it.
func (w *witness) helped(s *wire.SosSeen) (first bool) {
	said := w.help[s.Id]
	if said == nil {
		w.help[s.Id] = &word{s.TripId, true}
		return true
	}
	if said.fresh || said.trip != s.TripId {
		w.violate("trip %s: the call for help %s was seen again, on trip %s", said.trip, s.Id, s.TripId)
	}
	said.fresh = true
	return false
}

// position checks that a car never goes back in time at one node and that the
// node keeps to its credit, which the client gives back for every second
// position. It returns whether this is an update: the first position of a
// connection or of a driver only says where the car was when it was last heard
// of.
func (w *witness) position(p *wire.Position) (update bool) {
	if p.N > w.creditN+2 || p.N <= w.n {
		w.violate("position %d came after %d with %d acked", p.N, w.n, w.creditN)
	}

	if p.DriverId == w.driver && p.AtMs < w.at {
		w.violate("driver %s went back by %.1f ms", p.DriverId, w.at-p.AtMs)
		w.tell(journal.Record{What: journal.Back, Driver: p.DriverId, BehindMs: w.at - p.AtMs, Count: p.N})
	}
	update = w.n > 0 && p.DriverId == w.driver && p.AtMs != w.at
	w.n, w.driver, w.at = p.N, p.DriverId, p.AtMs
	if p.N >= w.creditN+2 {
		w.creditN = p.N
	}
	return update
}
