package client

import (
	"testing"

	"github.com/ridehail/ridehail/wire"
)

func eventFrame(trip string, seq uint32, state string) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{TripId: trip, Seq: seq,
		Trip: &wire.Trip{Id: trip, Version: seq, State: state}}}}
}

func chatFrame(trip string, seq uint32) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: &wire.ChatMessage{TripId: trip, Seq: seq}}}
}

func TestLateNewsOfAnEndedTripDoesNotHideTheOneUnderWay(t *testing.T) {
	var p progress
	request := NewFrame(&wire.RequestTrip{})
	requested := func(id string) *wire.Ack {
		return &wire.Ack{Trip: &wire.Trip{Id: id, Version: 1, State: StateRequested}}
	}
	if p.resumePoint() != nil {
		t.Error("it resumes before any welcome")
	}
	p.applyWelcome(&wire.Welcome{Epoch: "e"})
	p.applyAck(request, requested("now"))
	p.applyFrame(eventFrame("before", 2, StateCancelled))
	p.applyFrame(eventFrame("now", 2, StateReserved))
	if r := p.resumePoint(); r.TripId != "now" || r.TripSeq != 2 {
		t.Errorf("under way, it resumes %v", r)
	}
	p.applyFrame(eventFrame("now", 3, StateCancelled))
	p.applyAck(request, requested("next"))
	if r := p.resumePoint(); r.TripId != "next" {
		t.Errorf("with the next one, it resumes %v", r)
	}
	p.applyAck(request, &wire.Ack{Trip: &wire.Trip{Id: "next", Version: 2, State: StateExpired}})
	if r := p.resumePoint(); r.TripId != "next" {
		t.Errorf("after all, it resumes %v", r)
	}
}

func TestOwnMessagesNeedNotComeBackToCountAsKnown(t *testing.T) {
	var p progress
	say := func(seq uint32) { p.applyAck(NewFrame(&wire.SendChat{TripId: "t"}), &wire.Ack{ChatSeq: seq}) }
	p.applyWelcome(&wire.Welcome{Epoch: "e", Trip: &wire.Trip{Id: "t", Version: 2}, ChatSeq: 1})

	for _, step := range []struct {
		do   func()
		want uint32
	}{
		{func() { say(3) }, 1}, {func() { p.applyFrame(chatFrame("t", 2)) }, 3}, {func() { say(4) }, 4}, {func() { p.applyFrame(chatFrame("t", 4)) }, 4},
		{func() { p.applyAck(NewFrame(&wire.SendChat{TripId: "t"}), &wire.Ack{Code: "chat_closed", ChatSeq: 9}) }, 4},
	} {
		step.do()
		if got := p.resumePoint().ChatSeq; got != step.want {
			t.Fatalf("known up to %d, want %d", got, step.want)
		}
	}
}

func TestAWelcomeThatMakesUpForWhatWasMissedMovesNothing(t *testing.T) {
	var p progress
	trip := &wire.Trip{Id: "t", Version: 5}
	p.applyWelcome(&wire.Welcome{Epoch: "e", Recovered: true, Trip: trip, ChatSeq: 3})
	if r := p.resumePoint(); r.TripSeq != 0 || r.ChatSeq != 0 {
		t.Errorf("%v", r)
	}
	p.applyWelcome(&wire.Welcome{Epoch: "f", Trip: trip, ChatSeq: 3})
	if r := p.resumePoint(); r.Epoch != "f" || r.TripSeq != 5 || r.ChatSeq != 3 {
		t.Errorf("%v", r)
	}
}

func TestOldTripsAreForgotten(t *testing.T) {
	p := progress{epoch: "e"}
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		p.applyFrame(eventFrame(id, 1, StateRequested))
	}
	if len(p.trips) != maxTrips || p.resumePoint().TripId != "f" {
		t.Fatalf("%d trips, resumes %v", len(p.trips), p.resumePoint())
	}
}
