package check

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/trips"
)

// clientHistory reads the journals line by line and compares what phones were
// told with the store.
type clientHistory struct {
	store *store
	grace time.Duration

	// line counts over all journals, one after the other.
	line     int
	phones   map[string]*phone
	commands map[commandKey]*command
	sent     []*command // in order
	offers   map[string]trips.TripID
	// truncated journals have no end record and may lack others.
	truncated map[trips.Actor]bool
	people    map[trips.Actor]bool
	reads     map[trips.Actor][]reading
	ends      map[rideKey]int

	eventsInLog, eventOrder, knowsEnd, ownTripsOnly, chatComplete *invariant
	chatOrder, receiptsMatch, positionsForward, framesValid       *invariant
}

type commandKey struct {
	who trips.Actor
	id  string
}

// command is what a phone asked for, and the answer.
type command struct {
	commandKey
	kind     string
	trip     trips.TripID
	alert    string         // id, of an operator's acknowledgement
	answer   journal.Record // What is OK, Fail, or Info
	invoked  int            // line
	answered int            // line
	// floor is, of a message, the sender's newest acked number before it.
	floor uint32
}

// reading is a driver's active trip as a welcome told it. The node read it
// between two lines.
type reading struct {
	trip       trips.TripID
	from, till int
}

type rideKey struct {
	driver trips.Actor
	trip   trips.TripID
}

// phone is one client over all its connections.
type phone struct {
	who         trips.Actor
	name        string
	journalLine int // at which its journal begins

	views      map[trips.TripID]*view
	newest     trips.TripID
	ackedChat  map[trips.TripID]uint32 // the newest own message that was acked
	sosNotices []sosNotice
	hello      int     // line
	welcomedMs float64 // of the last welcome; 0: none yet
	lostMs     float64 // of the end of that connection; 0: it lives
	offMs      float64 // when it was switched off; 0: not yet

	connectedAtEnd bool // for Grace or longer
}

// view is what one phone knows of one trip.
type view struct {
	fresh bool   // no event was told yet
	seen  uint32 // number of the last event told
	known uint32 // version of the trip that was read
	chat  uint32 // all messages up to this number were told or read
}

func newClientHistory(db *store, grace time.Duration) *clientHistory {
	return &clientHistory{store: db, grace: grace, phones: map[string]*phone{}, commands: map[commandKey]*command{},
		offers: map[string]trips.TripID{}, truncated: map[trips.Actor]bool{}, people: map[trips.Actor]bool{},
		reads: map[trips.Actor][]reading{}, ends: map[rideKey]int{},

		eventsInLog:      newInvariant("trip events told to phones are those of the log"),
		eventOrder:       newInvariant("each phone's trip events come in order, without a silent gap"),
		knowsEnd:         newInvariant("phones connected to the end know how their trip and chat ended"),
		ownTripsOnly:     newInvariant("phones are told of their own trips only"),
		chatComplete:     newInvariant("each phone's chat is the database's, in order and complete"),
		chatOrder:        newInvariant("a message sent after another's ack has a higher number"),
		receiptsMatch:    newInvariant("each receipt is the trip's charge"),
		positionsForward: newInvariant("positions never go back"),
		framesValid:      newInvariant("no phone got a frame that breaks the protocol")}
}

func (h *clientHistory) invariants() []*invariant {
	return []*invariant{h.eventsInLog, h.eventOrder, h.knowsEnd, h.ownTripsOnly, h.chatComplete, h.chatOrder, h.receiptsMatch, h.positionsForward, h.framesValid}
}

// readJournal reads one journal.
func (h *clientHistory) readJournal(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	begin, closedAt := h.line+1, 0.0
	err = journal.Read(f, func(r journal.Record) error {
		h.line++
		if r.What == journal.Close {
			closedAt = r.AtMs
		}
		if r.Who != "" {
			h.readRecord(h.phoneOf(r, begin), r)
		}
		return nil
	})

	for _, p := range h.phones {
		if p.journalLine != begin {
			continue
		}
		if closedAt == 0 {
			h.truncated[p.who] = true
		} else {
			h.checkEnd(p, closedAt)
		}
	}

	return err
}

func (h *clientHistory) phoneOf(r journal.Record, begin int) *phone {
	p := h.phones[r.Phone]
	if p == nil {
		p = &phone{who: parseActor(r.Who), name: r.Who, journalLine: begin, views: map[trips.TripID]*view{},
			ackedChat: map[trips.TripID]uint32{}}
		h.phones[r.Phone] = p
		h.people[p.who] = true
	}
	return p
}

func parseActor(who string) trips.Actor {
	role, id, _ := strings.Cut(who, ":")
	return trips.Actor{Role: trips.Role(role), ID: id}
}

// viewOf returns what the phone knows of a trip. A driver is told of it from
// its second event on, or from its first one if a resume replays all of them.
func (p *phone) viewOf(id trips.TripID) *view {
	v := p.views[id]
	if v == nil {
		v = &view{fresh: true}
		if p.who.Role == trips.RoleDriver {
			v.seen = 1
		}
		p.views[id] = v
	}
	return v
}

func (h *clientHistory) readRecord(p *phone, r journal.Record) {
	id := trips.TripID(r.Trip)
	switch r.What {
	case journal.Invoke:
		h.recordInvoke(p, r)
	case journal.OK, journal.Fail, journal.Info:
		h.recordAnswer(p, r)
	case journal.Hello:
		p.hello = h.line
	case journal.Welcome:
		p.welcomedMs, p.lostMs = r.AtMs, 0
		h.checkWelcome(p, id, r)
	case journal.Lost:
		p.lostMs = r.AtMs
		h.positionsForward.Checked += int(r.Count)
	case journal.Offer:
		h.offers[r.Offer] = id
	case journal.Event:
		h.checkEvent(p, id, r)
	case journal.Chat:
		h.checkMessage(p, id, r)
	case journal.Receipt:
		h.checkReceipt(p, id, r)
	case journal.Seen:
		p.sosNotices = append(p.sosNotices, sosNotice{r.Client, id, h.line, p.hello})
	case journal.Back:
		h.positionsForward.addViolation("%s, line %d: position %d of driver %s is %.1f ms older than one before it",
			p.name, h.line, r.Count, r.Driver, r.BehindMs)
	case journal.Broken:
		h.framesValid.addViolation("%s, line %d: %s", p.name, h.line, r.Text)
	case journal.Off:
		p.offMs = r.AtMs
	}

	h.framesValid.Checked++
}

func (h *clientHistory) recordInvoke(p *phone, r journal.Record) {
	c := &command{commandKey: commandKey{p.who, r.Command}, kind: r.Kind, trip: trips.TripID(r.Trip), alert: r.Alert,
		invoked: h.line}
	if r.Kind == journal.Accept {
		c.trip = h.offers[r.Offer]
	}
	if r.Kind == journal.Say {
		c.floor = p.ackedChat[c.trip]
	}

	h.commands[c.commandKey] = c
	h.sent = append(h.sent, c)
}

func (h *clientHistory) recordAnswer(p *phone, r journal.Record) {
	c := h.commands[commandKey{p.who, r.Command}]
	if c == nil {
		h.framesValid.addViolation("%s, line %d: an answer to the command %q, which was never given", p.name, h.line, r.Command)
		return
	}
	c.answer, c.answered = r, h.line
	if r.What != journal.OK || r.Trip == "" {
		return
	}
	c.trip = trips.TripID(r.Trip)
	if c.kind == journal.SOS || c.kind == journal.Acknowledge {
		return // its answer has no version of the trip
	}

	if c.kind == journal.Say {
		h.chatOrder.check(r.Chat > c.floor, "%s, line %d: trip %s: message %d was sent after message %d was acked",
			p.name, h.line, c.trip, r.Chat, c.floor)
		p.ackedChat[c.trip] = max(p.ackedChat[c.trip], r.Chat)
		return
	}

	v := p.viewOf(c.trip)
	v.known = max(v.known, r.Seq)
	if c.kind == journal.Request || c.kind == journal.Accept {
		p.newest = c.trip
	}
}

// checkWelcome begins a connection. The trip is as the welcome says unless what
// was missed follows.
func (h *clientHistory) checkWelcome(p *phone, id trips.TripID, r journal.Record) {
	if !r.Recovered && p.who.Role == trips.RoleDriver {
		h.reads[p.who] = append(h.reads[p.who], reading{id, p.hello, h.line})
	}
	if id == "" {
		return
	}

	v := p.viewOf(id)
	h.eventOrder.check(r.Seq >= v.seen, "%s, line %d: trip %s stands at %d after event %d", p.name, h.line, id, r.Seq, v.seen)
	h.checkAgainstLog(p, id, r)
	v.known, p.newest = max(v.known, r.Seq), id
	if !r.Recovered {
		v.seen, v.chat = max(v.seen, r.Seq), max(v.chat, r.Chat)
	}
}

// checkAgainstLog compares what a phone was told of a trip with the log.
func (h *clientHistory) checkAgainstLog(p *phone, id trips.TripID, r journal.Record) {
	ev, ok := h.store.findEvent(id, r.Seq)
	ok = ok && string(ev.Trip.State) == r.State && (r.What != journal.Event || string(ev.Kind) == r.Kind)
	h.eventsInLog.check(ok, "%s, line %d: trip %s told to be %s at %d; the log has %q there",
		p.name, h.line, id, r.State, r.Seq, ev.Trip.State)
	if t, known := h.store.latestTrip(id); known {
		h.ownTripsOnly.check(t.Concerns(p.who), "%s, line %d: trip %s is of rider %s and driver %q",
			p.name, h.line, id, t.Rider, t.Driver)
	}
}

func (h *clientHistory) checkEvent(p *phone, id trips.TripID, r journal.Record) {
	v := p.viewOf(id)
	repeated := r.Seq <= v.seen && !(v.fresh && r.Seq == v.seen)
	h.eventOrder.check(!repeated && r.Seq <= max(v.seen, v.known)+1,
		"%s, line %d: trip %s: event %d follows event %d, with version %d read",
		p.name, h.line, id, r.Seq, v.seen, v.known)
	h.checkAgainstLog(p, id, r)
	v.fresh, v.seen, v.known, p.newest = false, max(v.seen, r.Seq), max(v.known, r.Seq), id
	if !trips.State(r.State).IsActive() {
		h.ends[rideKey{p.who, id}] = h.line
	}
}

// checkMessage checks a chat message that a phone was told. A phone may be told
// its own messages, but need not be.
func (h *clientHistory) checkMessage(p *phone, id trips.TripID, r journal.Record) {
	v, mine := p.viewOf(id), r.From == string(p.who.Role)
	kept, ok := h.store.findMessage(id, r.Chat)
	h.chatComplete.check(ok && kept.ClientID == r.Client && string(kept.From.Role) == r.From,
		"%s, line %d: trip %s: told message %d as %s of the %s; the database has %q of %v there",
		p.name, h.line, id, r.Chat, r.Client, r.From, kept.ClientID, kept.From)
	if t, known := h.store.latestTrip(id); known {
		h.ownTripsOnly.check(t.Concerns(p.who), "%s, line %d: chat of trip %s, of rider %s and driver %q",
			p.name, h.line, id, t.Rider, t.Driver)
	}
	if r.Chat <= v.chat {
		h.chatComplete.check(mine, "%s, line %d: trip %s: message %d came after message %d", p.name, h.line, id, r.Chat, v.chat)
		return
	}

	h.checkNoGap(p, id, v.chat, r.Chat)
	v.chat = r.Chat
}

// checkNoGap checks that all messages between two numbers are the phone's own,
// which need not be told.
func (h *clientHistory) checkNoGap(p *phone, id trips.TripID, after, before uint32) {
	for seq := after + 1; seq < before; seq++ {
		m, ok := h.store.findMessage(id, seq)
		h.chatComplete.check(ok && m.From == p.who, "%s, line %d: trip %s: message %d of %v was never told, message %d was",
			p.name, h.line, id, seq, m.From, before)
	}
}

func (h *clientHistory) checkReceipt(p *phone, id trips.TripID, r journal.Record) {
	c, ok := h.store.charges[id]
	h.receiptsMatch.check(ok && c.Reference == r.Reference && c.Amount.Minor == r.Minor && c.Amount.Currency == r.Currency &&
		trips.Rider(c.Rider) == p.who, "%s, line %d: trip %s: receipt %q of %d %s; charged to rider %s as %q: %v",
		p.name, h.line, id, r.Reference, r.Minor, r.Currency, c.Rider, c.Reference, c.Amount)
}

// leaveMargin is how long before the end of its journal a phone may have been
// switched off, and how long before that its connection may have ended, for the
// phone to count as connected at the end.
const leaveMargin = 2000 // ms

// checkEnd checks that a phone that was connected at the end knows the last
// events and messages of its trip.
func (h *clientHistory) checkEnd(p *phone, closedAt float64) {
	if p.offMs == 0 {
		p.offMs = closedAt
	}
	if p.lostMs == 0 {
		p.lostMs = p.offMs
	}
	if p.newest == "" || p.welcomedMs == 0 || p.offMs < closedAt-leaveMargin || p.lostMs < p.offMs-leaveMargin ||
		p.lostMs-p.welcomedMs < float64(h.grace)/1e6 {
		return
	}

	p.connectedAtEnd = true
	late := time.UnixMicro(int64(p.lostMs * 1e3)).Add(-h.grace)
	v := p.viewOf(p.newest)
	for _, ev := range slices.Backward(h.store.events[p.newest]) {
		if ev.At.Before(late) {
			h.knowsEnd.check(ev.Seq() <= max(v.seen, v.known), "%s: trip %s: event %d, %s, was never told; the phone knows %d",
				p.name, p.newest, ev.Seq(), ev.Kind, max(v.seen, v.known))
			break
		}
	}

	for _, m := range h.store.messages[p.newest] {
		if m.Seq > v.chat && m.From != p.who && m.At.Before(late) {
			h.knowsEnd.check(false, "%s: trip %s: message %d of %v was never told", p.name, p.newest, m.Seq, m.From)
		}
	}
}
