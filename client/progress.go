package client

import "github.com/ridehail/ridehail/wire"

// remembered is how many trips are followed: late chat may come for one that
// ended.
const remembered = 4

// progress is how far a session got, to resume there. It is the reader's.
type progress struct {
	epoch string          // "" before the first welcome
	trips []*tripProgress // newest last
}

type tripProgress struct {
	id    string
	event uint32          // the last one seen
	chat  uint32          // all messages up to this number are known
	own   map[uint32]bool // numbers above chat that acks gave our own messages
	over  bool
}

// trip returns the progress of a trip, new if there is none.
func (p *progress) trip(id string) *tripProgress {
	for _, t := range p.trips {
		if t.id == id {
			return t
		}
	}

	if len(p.trips) == remembered {
		p.trips = append(p.trips[:0], p.trips[1:]...)
	}

	t := &tripProgress{id: id}
	p.trips = append(p.trips, t)
	return t
}

// resume is what the next hello says; nil before the first welcome.
func (p *progress) resume() *wire.Resume {
	if p.epoch == "" {
		return nil
	}
	r := &wire.Resume{Epoch: p.epoch}
	if t := p.newest(); t != nil {
		r.TripId, r.TripSeq, r.ChatSeq = t.id, t.event, t.chat
	}
	return r
}

// newest is the trip that a resume is about: the newest one under way, even
// when late news of an ended one came after it; the newest of all if none is
// under way, and nil before the first.
func (p *progress) newest() (last *tripProgress) {
	for _, t := range p.trips {
		if last == nil || last.over || !t.over {
			last = t
		}
	}
	return last
}

// welcome takes the state of things from a welcome, unless what was missed
// follows.
func (p *progress) welcome(w *wire.Welcome) {
	p.epoch = w.Epoch
	if w.Trip == nil {
		return
	}
	t := p.trip(w.Trip.Id)
	if !w.Recovered {
		t.event, t.chat = max(t.event, w.Trip.Version), max(t.chat, w.ChatSeq)
		t.skipOwn()
	}
}

// see follows a frame.
func (p *progress) see(f *wire.ServerFrame) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_TripEvent:
		t := p.trip(b.TripEvent.TripId)
		t.event = max(t.event, b.TripEvent.Seq)
		t.note(b.TripEvent.Trip)
	case *wire.ServerFrame_Chat:
		if t := p.trip(b.Chat.TripId); b.Chat.Seq > t.chat {
			t.chat = b.Chat.Seq
			t.skipOwn()
		}
	}
}

// answered takes what an ack tells of a command's trip.
func (p *progress) answered(f *wire.ClientFrame, a *wire.Ack) {
	if a.Trip != nil {
		p.trip(a.Trip.Id).note(a.Trip)
	}
	if say := f.GetSendChat(); say != nil && a.Code == "" {
		p.trip(say.TripId).noteOwn(a.ChatSeq)
	}
}

func (t *tripProgress) note(trip *wire.Trip) {
	t.over = t.over || trip.GetState() != "" && !Active(trip.State)
}

// noteOwn takes the number of a message of ours. The node need not send it
// back.
func (t *tripProgress) noteOwn(seq uint32) {
	if seq <= t.chat {
		return
	}
	if t.own == nil {
		t.own = make(map[uint32]bool)
	}

	t.own[seq] = true
	t.skipOwn()
}

// skipOwn moves chat past our own messages.
func (t *tripProgress) skipOwn() {
	for seq := range t.own {
		if seq <= t.chat {
			delete(t.own, seq)
		}
	}

	for t.own[t.chat+1] {
		t.chat++
		delete(t.own, t.chat)
	}
}
