package xray

import (
	"testing"

	"github.com/ridehail/ridehail/tracing"
)

func TestASecondSearchIsAPhaseOfItsOwn(t *testing.T) {
	s := newWholeRide()
	s.add("r", tracing.WindowWait, tracing.Match, 2, 3_600_000, 3_700_000)
	s.add("r", tracing.CandidateSearch, tracing.Match, 2, 3_700_000, 3_700_100)
	r := s.assemble(t)
	if first, second := r.phase(t, tracing.Match, 0), r.phase(t, tracing.Match, 2); len(first.Hops) != 5 || len(second.Hops) != 2 {
		t.Errorf("the first window has %d hops, the second %d", len(first.Hops), len(second.Hops))
	}
	if !r.Complete {
		t.Errorf("a window without a car should have no pairs: %s", r.unseen())
	}
}

func TestAWindowThatBeginsBeforeADeclinedOfferIsAnsweredLedToNoOffer(t *testing.T) {
	s := newWholeRide()
	end := at(0).UnixNano()
	for _, h := range s.hops {
		if h.Phase == tracing.Offer {
			end = max(end, h.Ended)
		}
	}
	began := int((end-at(0).UnixNano())/1000) - 10
	s.add("r", tracing.WindowWait, tracing.Match, 2, began, began+100_000)
	s.add("r", tracing.CandidateSearch, tracing.Match, 2, began+100_000, began+100_100)
	if r := s.assemble(t); len(r.phase(t, tracing.Match, 2).Hops) != 2 {
		t.Errorf("hops are expected that only an offer brings: %s", r.unseen())
	}
}
