package client

import "github.com/ridehail/ridehail/wire"

// maxTrips is how many trips a session remembers. Late chat may arrive for a
// trip that ended.
const maxTrips = 4

// progress holds what a session has received, so that the next connection
// resumes there. Only Run's goroutine uses it.
type progress struct {
	epoch string          // "" before the first welcome
	trips []*tripProgress // at most maxTrips, newest last
}

type tripProgress struct {
	id        string
	lastEvent uint32          // number of the last event received
	knownChat uint32          // all messages up to this number are known
	ownChats  map[uint32]bool // our own messages above knownChat, by number
	ended     bool
}

// tripProgress returns the progress of a trip, new if there is none.
func (p *progress) tripProgress(id string) *tripProgress {
	for _, t := range p.trips {
		if t.id == id {
			return t
		}
	}

	if len(p.trips) == maxTrips {
		p.trips = append(p.trips[:0], p.trips[1:]...)
	}

	t := &tripProgress{id: id}
	p.trips = append(p.trips, t)
	return t
}

// resumePoint returns what the next hello says, or nil before the first
// welcome.
func (p *progress) resumePoint() *wire.Resume {
	if p.epoch == "" {
		return nil
	}
	r := &wire.Resume{Epoch: p.epoch}
	if t := p.currentTrip(); t != nil {
		r.TripId, r.TripSeq, r.ChatSeq = t.id, t.lastEvent, t.knownChat
	}
	return r
}

// currentTrip returns the trip to resume: the newest active one, even when news
// of an ended trip came later. It returns the newest trip when none is active,
// and nil before the first.
func (p *progress) currentTrip() (last *tripProgress) {
	for _, t := range p.trips {
		if last == nil || last.ended || !t.ended {
			last = t
		}
	}
	return last
}

// applyWelcome takes the trip's numbers from a welcome. A welcome with
// Recovered moves none: the node sends the missed frames next.
func (p *progress) applyWelcome(w *wire.Welcome) {
	p.epoch = w.Epoch
	if w.Trip == nil {
		return
	}
	t := p.tripProgress(w.Trip.Id)
	if !w.Recovered {
		t.lastEvent, t.knownChat = max(t.lastEvent, w.Trip.Version), max(t.knownChat, w.ChatSeq)
		t.skipOwnChats()
	}
}

// applyFrame notes the numbers of a trip event or a chat message.
func (p *progress) applyFrame(f *wire.ServerFrame) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_TripEvent:
		t := p.tripProgress(b.TripEvent.TripId)
		t.lastEvent = max(t.lastEvent, b.TripEvent.Seq)
		t.noteState(b.TripEvent.Trip)
	case *wire.ServerFrame_Chat:
		if t := p.tripProgress(b.Chat.TripId); b.Chat.Seq > t.knownChat {
			t.knownChat = b.Chat.Seq
			t.skipOwnChats()
		}
	}
}

// applyAck notes what the final ack of a command says about its trip.
func (p *progress) applyAck(f *wire.ClientFrame, a *wire.Ack) {
	if a.Trip != nil {
		p.tripProgress(a.Trip.Id).noteState(a.Trip)
	}
	if say := f.GetSendChat(); say != nil && a.Code == "" {
		p.tripProgress(say.TripId).addOwnChat(a.ChatSeq)
	}
}

func (t *tripProgress) noteState(trip *wire.Trip) {
	t.ended = t.ended || trip.GetState() != "" && !IsActive(trip.State)
}

// addOwnChat notes the number that the node gave to our own message. The node
// need not send that message back.
func (t *tripProgress) addOwnChat(seq uint32) {
	if seq <= t.knownChat {
		return
	}
	if t.ownChats == nil {
		t.ownChats = make(map[uint32]bool)
	}

	t.ownChats[seq] = true
	t.skipOwnChats()
}

// skipOwnChats moves knownChat past our own messages.
func (t *tripProgress) skipOwnChats() {
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
