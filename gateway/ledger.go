package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/wire"
)

// class is a kind of message to phones, as the ledger keeps it.
type class uint8

const (
	classPosition class = iota
	classTripEvent
	classChat
	classOffer // or its end
	classReceipt
	classTyping
	classCars
	classOther // answers, welcomes, drivers gone silent
	classes
)

var classNames = [classes]string{"position", "trip_event", "chat", "offer", "receipt", "typing", "cars", "other"}

// outcome is what became of a message that a session was to get. Each has one of them in the end; only echo and shown
// are said besides, of a message that was sent.
type outcome uint8

const (
	outcomeSent        outcome = iota // written to the socket as it happened
	outcomeRecovered                  // written to the socket from what is kept, after a gap or a connection that broke
	outcomeOverwritten                // a newer one came first
	outcomeDuplicate                  // the phone has it: not sent again
	outcomeEarly                      // before one that is missing: it is recovered with that one
	outcomeSlow                       // lost: the queue of a phone that does not read was full
	outcomeGone                       // lost: the socket ended first, perhaps in the midst of it
	outcomeEcho                       // the same came from the commit on this node and through Redis
	outcomeShown                      // the phone said so
	outcomes
)

var outcomeNames = [outcomes]string{"sent", "recovered", "overwritten", "duplicate", "early", "lost_slow", "lost_gone", "echo", "shown"}

// ledger counts every message for a phone by its class and what became of it.
type ledger [classes][outcomes]prometheus.Counter

func newLedger(r prometheus.Registerer) *ledger {
	vec := promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_delivery_total",
		Help: "Messages for phones by class and what became of them; echo and shown are counted beside sent, all others are exclusive."},
		[]string{"class", "outcome"})
	l := new(ledger)
	for c, name := range classNames {
		for o, what := range outcomeNames {
			l[c][o] = vec.WithLabelValues(name, what)
		}
	}
	return l
}

func classOf(f *wire.ServerFrame) class {
	switch f.Body.(type) {
	case *wire.ServerFrame_Position:
		return classPosition
	case *wire.ServerFrame_TripEvent:
		return classTripEvent
	case *wire.ServerFrame_Chat:
		return classChat
	case *wire.ServerFrame_Offer, *wire.ServerFrame_OfferGone:
		return classOffer
	case *wire.ServerFrame_Receipt:
		return classReceipt
	case *wire.ServerFrame_Typing:
		return classTyping
	case *wire.ServerFrame_Cars:
		return classCars
	}
	return classOther
}

// letter is an encoded message and its place in the ledger once it is written.
type letter struct {
	data []byte
	of   class
	how  outcome // sent or recovered
}

// count adds one to the ledger.
func (s *session) count(c class, o outcome) { s.g.m.ledger[c][o].Inc() }

// discardLocked books what waits for a phone that is gone.
func (s *session) discardLocked() {
	for _, l := range s.queue {
		s.count(l.of, outcomeGone)
	}
	s.queue = nil
	if s.car.fresh {
		s.count(classPosition, outcomeGone)
	}
	s.car.follow("")
	if s.cars != nil {
		s.count(classCars, outcomeGone)
		s.cars = nil
	}
}
