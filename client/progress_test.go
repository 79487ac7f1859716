package client

import (
	"testing"

	"github.com/ridehail/ridehail/wire"
)

func event(trip string, seq uint32, state string) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{TripId: trip, Seq: seq,
		Trip: &wire.Trip{Id: trip, Version: seq, State: state}}}}
}

func chat(trip string, seq uint32) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: &wire.ChatMessage{TripId: trip, Seq: seq}}}
}

func TestLateNewsOfAnEndedTripDoesNotHideTheOneUnderWay(t *testing.T) {
	var p progress
	request := Frame(&wire.RequestTrip{})
	requested := func(id string) *wire.Ack {
		return &wire.Ack{Trip: &wire.Trip{Id: id, Version: 1, State: StateRequested}}
	}
	if p.resume() != nil {
		t.Error("it resumes before any welcome")
	}
	p.welcome(&wire.Welcome{Epoch: "e"})
	p.answered(request, requested("now"))
	p.see(event("before", 2, StateCancelled))
	p.see(event("now", 2, StateReserved))
	if r := p.resume(); r.TripId != "now" || r.TripSeq != 2 {
		t.Errorf("under way, it resumes %v", r)
	}
	p.see(event("now", 3, StateCancelled))
	p.answered(request, requested("next"))
	if r := p.resume(); r.TripId != "next" {
		t.Errorf("with the next one, it resumes %v", r)
	}
	p.answered(request, &wire.Ack{Trip: &wire.Trip{Id: "next", Version: 2, State: StateExpired}})
	if r := p.resume(); r.TripId != "next" {
		t.Errorf("after all, it resumes %v", r)
	}
}

func TestOwnMessagesNeedNotComeBackToCountAsKnown(t *testing.T) {
	var p progress
	say := func(seq uint32) { p.answered(Frame(&wire.SendChat{TripId: "t"}), &wire.Ack{ChatSeq: seq}) }
	p.welcome(&wire.Welcome{Epoch: "e", Trip: &wire.Trip{Id: "t", Version: 2}, ChatSeq: 1})

	for _, step := range []struct {
		do   func()
		want uint32
	}{
		{func() { say(3) }, 1}, {func() { p.see(chat("t", 2)) }, 3}, {func() { say(4) }, 4}, {func() { p.see(chat("t", 4)) }, 4},
		{func() { p.answered(Frame(&wire.SendChat{TripId: "t"}), &wire.Ack{Code: "chat_closed", ChatSeq: 9}) }, 4},
	} {
		step.do()
		if got := p.resume().ChatSeq; got != step.want {
			t.Fatalf("known up to %d, want %d", got, step.want)
		}
	}
}

func TestAWelcomeThatMakesUpForWhatWasMissedMovesNothing(t *testing.T) {
	var p progress
	trip := &wire.Trip{Id: "t", Version: 5}
	p.welcome(&wire.Welcome{Epoch: "e", Recovered: true, Trip: trip, ChatSeq: 3})
	if r := p.resume(); r.TripSeq != 0 || r.ChatSeq != 0 {
		t.Errorf("%v", r)
	}
	p.welcome(&wire.Welcome{Epoch: "f", Trip: trip, ChatSeq: 3})
	if r := p.resume(); r.Epoch != "f" || r.TripSeq != 5 || r.ChatSeq != 3 {
		t.Errorf("%v", r)
	}
}

func TestOldTripsAreForgotten(t *testing.T) {
	p := progress{epoch: "e"}
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		p.see(event(id, 1, StateRequested))
	}
	if len(p.trips) != remembered || p.resume().TripId != "f" {
		t.Fatalf("%d trips, resumes %v", len(p.trips), p.resume())
	}
}
