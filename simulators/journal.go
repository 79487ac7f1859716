package simulators

import (
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// recordInJournal adds a record of this phone, if there is a journal.
func (p *phone) recordInJournal(r journal.Record) {
	if p.network.journal == nil {
		return
	}
	r.Who, r.Phone = p.role+":"+p.id, p.prefix
	p.network.journal.AddRecord(r)
}

// commandRecord returns what the journal says of a command.
func commandRecord(f *wire.ClientFrame) journal.Record {
	r := journal.Record{Command: f.Id}
	switch b := f.Body.(type) {
	case *wire.ClientFrame_RequestTrip:
		r.Kind = journal.Request
	case *wire.ClientFrame_AnswerOffer:
		r.Kind, r.Offer = journal.Decline, b.AnswerOffer.OfferId
		if b.AnswerOffer.Accept {
			r.Kind = journal.Accept
		}
	case *wire.ClientFrame_MoveTrip:
		r.Trip = b.MoveTrip.TripId
		r.Kind = map[wire.Step]string{wire.Step_ARRIVE: journal.Arrive, wire.Step_START: journal.Start,
			wire.Step_COMPLETE: journal.Complete}[b.MoveTrip.Step]
	case *wire.ClientFrame_CancelTrip:
		r.Kind, r.Trip = journal.Cancel, b.CancelTrip.TripId
	case *wire.ClientFrame_SendChat:
		r.Kind, r.Trip = journal.Say, b.SendChat.TripId
	case *wire.ClientFrame_SetAvailable:
		r.Kind = journal.Available
	case *wire.ClientFrame_Sos:
		r.Kind, r.Trip = journal.SOS, b.Sos.TripId
	}

	return r
}

// recordInvoke must be called before the command is sent.
func (p *phone) recordInvoke(f *wire.ClientFrame) {
	r := commandRecord(f)
	r.What = journal.Invoke
	p.recordInJournal(r)
}

// recordAck records the final ack of a command.
func (p *phone) recordAck(f *wire.ClientFrame, a *wire.Ack) {
	r := commandRecord(f)
	r.What, r.Code, r.Chat = journal.OK, a.Code, a.ChatSeq
	if a.Code != "" {
		r.What = journal.Fail
	}
	if t := a.Trip; t != nil {
		r.Trip, r.Seq, r.State, r.Driver = t.Id, t.Version, t.State, t.DriverId
	}

	p.recordInJournal(r)
}

// recordUnanswered records that the outcome of a command is unknown.
func (p *phone) recordUnanswered(f *wire.ClientFrame) {
	r := commandRecord(f)
	r.What = journal.Info
	p.recordInJournal(r)
}

// recordHello must be called before a connection is opened: the node reads the
// state for its welcome after this.
func (p *phone) recordHello(server string, resume *wire.Resume) {
	p.recordInJournal(journal.Record{What: journal.Hello, Server: server, Trip: resume.GetTripId(), Seq: resume.GetTripSeq(), Chat: resume.GetChatSeq()})
}

func (p *phone) recordWelcome(w *wire.Welcome) {
	p.recordInJournal(journal.Record{What: journal.Welcome, Recovered: w.Recovered, Trip: w.Trip.GetId(), Seq: w.Trip.GetVersion(),
		State: w.Trip.GetState(), Driver: w.Trip.GetDriverId(), Chat: w.ChatSeq})
}

// recordFrame must be called before the phone's owner acts on the frame.
func (p *phone) recordFrame(f *wire.ServerFrame) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Offer:
		p.recordInJournal(journal.Record{What: journal.Offer, Offer: b.Offer.Id, Trip: b.Offer.Trip.GetId()})
	case *wire.ServerFrame_TripEvent:
		e := b.TripEvent
		p.recordInJournal(journal.Record{What: journal.Event, Trip: e.TripId, Seq: e.Seq, Kind: e.Kind,
			State: e.Trip.GetState(), Driver: e.Trip.GetDriverId()})
	case *wire.ServerFrame_Chat:
		p.recordInJournal(journal.Record{What: journal.Chat, Trip: b.Chat.TripId, Chat: b.Chat.Seq, From: b.Chat.From,
			Client: b.Chat.ClientId})
	case *wire.ServerFrame_SosSeen:
		p.recordInJournal(journal.Record{What: journal.Seen, Trip: b.SosSeen.TripId, Client: b.SosSeen.Id})
	case *wire.ServerFrame_Receipt:
		p.recordInJournal(journal.Record{What: journal.Receipt, Trip: b.Receipt.TripId, Reference: b.Receipt.Reference,
			Minor: int64(b.Receipt.Amount.GetMinor()), Currency: b.Receipt.Amount.GetCurrency()})
	}
}
