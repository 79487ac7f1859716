// Package sos takes calls for help of riders and drivers: who may call, what is
// kept of a call, and how it reaches an operator and comes back acknowledged. A
// call is kept before it is answered. If Redis loses its job, Notifier finds it
// again in the store.
package sos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

const (
	// MaxRunes bounds the text of a call, in Unicode code points.
	MaxRunes = 200
	// OpenAfterTrip is how long rider and driver may still call for help once
	// their trip has ended.
	OpenAfterTrip = time.Hour
	// MaxCallsPerMinute is how many calls of one person on one trip are kept
	// within a minute.
	MaxCallsPerMinute = 4
)

// How an alert is marked in the outbox. A new one is KindSOS, which makes it a
// job as well; an acknowledged one has no kind. The payload is the Alert as
// JSON.
const (
	TopicAlert trips.Topic = "alert"
	KindSOS    trips.Kind  = "sos"
)

var (
	ErrBadText = errors.New("an alert has at most 200 printable characters of UTF-8")
	ErrClosed  = errors.New("the trip ended more than an hour ago")
	ErrTooMany = errors.New("this person called several times within a minute")
	// ErrNotFound says that no alert has this id.
	ErrNotFound = errors.New("no such alert")
)

// Alert is one call for help. It is open until an operator acknowledges it.
type Alert struct {
	ID   string       `json:"id"`
	Trip trips.TripID `json:"trip"`
	From trips.Actor  `json:"from"`
	// ClientID is the sender's command id. A call sent again under the same id
	// is one alert.
	ClientID string `json:"client_id"`
	Text     string `json:"text"`
	// Car is where the trip's car was last, if known.
	Car Place     `json:"car,omitzero"`
	At  time.Time `json:"at"`
	// NotifiedAt is when a node told the operators.
	NotifiedAt time.Time `json:"raised_at,omitzero"`
	// AckedAt is when an operator acknowledged it.
	AckedAt time.Time `json:"acked_at,omitzero"`
}

// CheckText returns trips.ErrNotText if no database keeps the alert.
func (a Alert) CheckText() error {
	return trips.CheckText(a.ID, string(a.Trip), a.From.ID, a.ClientID, a.Text)
}

// Place is a position and when a node received it.
type Place struct {
	location.Point
	At time.Time `json:"at"`
}

// Store keeps alerts. Its methods may block on I/O and may be called from many
// goroutines.
type Store interface {
	// AddAlert keeps a new alert and adds an outbox row of KindSOS, in one
	// transaction. An alert with the same From and ClientID as an earlier one
	// changes nothing; the earlier one is returned. Errors: trips.ErrNotFound
	// for an unknown trip; trips.ErrKeyReused when the earlier one has another
	// trip or text.
	AddAlert(ctx context.Context, a Alert) (Alert, error)
	// MarkNotified marks a trip's alerts as told to the operators and returns
	// those that were not marked before, oldest first.
	MarkNotified(ctx context.Context, id trips.TripID, at time.Time) ([]Alert, error)
	// AcknowledgeAlert acknowledges an alert and adds an outbox row without
	// kind, in one transaction. Called again it changes nothing. An unknown id
	// is ErrNotFound.
	AcknowledgeAlert(ctx context.Context, id string, at time.Time) (Alert, error)
	// OpenAlerts returns alerts that are not acknowledged, newest first, at
	// most limit.
	OpenAlerts(ctx context.Context, limit int) ([]Alert, error)
	// AlertsOf returns all alerts of one person on one trip, oldest first.
	AlertsOf(ctx context.Context, who trips.Actor, id trips.TripID) ([]Alert, error)
}

// Service takes calls for help. It may be used from many goroutines.
type Service struct {
	Store Store
	Trips interface {
		Trip(ctx context.Context, id trips.TripID) (trips.Trip, error)
	}
	CarPosition func(trips.DriverID) (p Place, known bool)
	Now         func() time.Time
}

// RequestHelp keeps an alert with the position of the trip's car, and its text
// as text.Clean leaves it: empty if it shows nothing. A person's first
// MaxCallsPerMinute calls are never refused for their number. Errors:
// ErrBadText, ErrClosed, ErrTooMany, trips.ErrNotYours, trips.ErrNotFound,
// trips.ErrKeyReused.
func (s *Service) RequestHelp(ctx context.Context, from trips.Actor, id trips.TripID, clientID, written string) (Alert, error) {
	clean, ok := text.Clean(written)
	if !ok || utf8.RuneCountInString(clean) > MaxRunes {
		return Alert{}, ErrBadText
	}

	t, err := s.Trips.Trip(ctx, id)
	if err != nil {
		return Alert{}, err
	}

	now := s.Now()
	switch {
	case from.Role == trips.RoleSystem || !t.Concerns(from):
		return Alert{}, fmt.Errorf("trip %s: %w", id, trips.ErrNotYours)
	case !t.State.IsActive() && now.Sub(t.EndedAt) > OpenAfterTrip:
		return Alert{}, fmt.Errorf("trip %s: %w", id, ErrClosed)
	}

	if err := s.checkRate(ctx, from, id, clientID, now); err != nil {
		return Alert{}, err
	}
	a := Alert{ID: rand.Text(), Trip: id, From: from, ClientID: clientID, Text: clean, At: now}
	if p, known := s.CarPosition(t.Driver); t.Driver != "" && known {
		a.Car = p
	}

	kept, err := s.Store.AddAlert(ctx, a)
	if errors.Is(err, trips.ErrKeyReused) && written != clean {
		// A node of an earlier build may have kept the call as it was written,
		// before its answer was lost. The id is taken, so that this adds nothing.
		a.Text = written
		return s.Store.AddAlert(ctx, a)
	}
	return kept, err
}

// checkRate refuses a new call after MaxCallsPerMinute within a minute. It
// counts the calls in the store, so that the bound holds across nodes; calls
// made at the same moment may exceed it.
func (s *Service) checkRate(ctx context.Context, from trips.Actor, id trips.TripID, clientID string, now time.Time) error {
	before, err := s.Store.AlertsOf(ctx, from, id)
	if err != nil {
		return err
	}

	lately := 0
	for _, a := range before {
		if a.ClientID == clientID {
			return nil // sent again
		}
		if now.Sub(a.At) < time.Minute {
			lately++
		}
	}

	if lately >= MaxCallsPerMinute {
		return fmt.Errorf("trip %s: %w", id, ErrTooMany)
	}

	return nil
}
