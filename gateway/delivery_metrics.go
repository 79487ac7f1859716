package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/wire"
)

// class is a kind of message to phones, as they are counted.
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

// outcome is what became of a message meant for a session. Each message ends in
// one of them; only echo and shown are counted beside the sent one.
type outcome uint8

const (
	// written to the socket as it happened
	outcomeSent      outcome = iota
	outcomeRecovered         // written from the store, after a gap
	// a newer one came first
	outcomeOverwritten
	outcomeDuplicate // the phone has it: not sent again
	outcomeEarly     // an earlier one is missing: both are recovered
	outcomeSlow      // lost: the queue of a slow phone was full
	outcomeGone      // lost: the socket ended before or during the write
	outcomeEcho      // it came from the commit here and through Redis
	outcomeShown     // the phone has acked it
	outcomes
)

var outcomeNames = [outcomes]string{"sent", "recovered", "overwritten", "duplicate", "early", "lost_slow", "lost_gone", "echo", "shown"}

// deliveryMetrics counts every message for a phone by its class and what became
// of it.
type deliveryMetrics [classes][outcomes]prometheus.Counter

func newDeliveryMetrics(r prometheus.Registerer) *deliveryMetrics {
	vec := promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_delivery_total",
		Help: "Messages for phones by class and what became of them; echo and shown are counted beside sent, all others are exclusive."},
		[]string{"class", "outcome"})
	m := new(deliveryMetrics)
	for c, name := range classNames {
		for o, what := range outcomeNames {
			m[c][o] = vec.WithLabelValues(name, what)
		}
	}

	return m
}

func (m *deliveryMetrics) countMessage(c class, o outcome) { m[c][o].Inc() }

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
