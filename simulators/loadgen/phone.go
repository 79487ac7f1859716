package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// phone is one driver or rider.
type phone struct {
	// Fixed at creation.
	generator   *Generator
	session     *client.Session
	role, id    string
	rides       bool           // a rider who requests trips
	to          location.Point // a rider's dropoff
	firstResult chan error     // of the first connection; holds one

	mu           sync.Mutex // guards the fields below
	rng          *rand.Rand
	at           location.Point // a rider's pickup, or where the car is
	connected    bool
	welcomeTime  time.Time     // zero before the first
	chosenAt     time.Time     // when firstWait was chosen
	firstWait    time.Duration // before the first try after a loss
	commandCount int
	fixCount     uint32
	fixDue       time.Time
	due          time.Time // of the next step
	trip         *wire.Trip
}

// runSession keeps the phone connected until the context ends or the first
// attempts have failed.
func (p *phone) runSession(ctx context.Context) {
	err := p.session.Run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	p.reportFirst(fmt.Errorf("%s: %w", p.id, err))
}

// reportFirst keeps its first result and ignores later ones.
func (p *phone) reportFirst(err error) {
	select {
	case p.firstResult <- err:
	default:
	}
}

// decideRetry waits as long as the node asks, else for a time that doubles from
// the first wait to 5 s. A phone that was welcomed once always comes back.
func (p *phone) decideRetry(attempt int, err error) (wait time.Duration, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	jitter := p.generator.jitter.Load()
	var hint time.Duration
	if refused, ok := errors.AsType[*client.StatusError](err); ok {
		hint = refused.RetryAfter
	}

	switch {
	case attempt == 0: // it was connected
	case hint > 0:
		p.generator.hintedRefusals.Add(1)
	default:
		p.generator.otherFailures.Add(1)
	}

	wait, spread := hint, time.Second
	if hint == 0 {
		spread = min(5*time.Second, p.generator.cfg.FirstWait<<min(attempt, 10))
		if !jitter {
			wait = spread
		}
	}

	if jitter {
		wait += time.Duration(p.rng.Int64N(int64(spread)))
	}
	if attempt == 0 {
		p.chosenAt, p.firstWait = time.Now(), wait
	}
	return wait, !p.welcomeTime.IsZero() || attempt+1 < maxFirstAttempts
}

// handleWelcome continues the trip that the node knows of.
func (p *phone) handleWelcome(w *wire.Welcome, resumed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.connected, p.welcomeTime = true, time.Now()
	if !resumed {
		// Spreads the first requests.
		p.due = p.welcomeTime.Add(time.Duration(p.rng.Int64N(int64(p.generator.cfg.Ride / 4))))
	}

	if w.Trip != nil {
		p.followLocked(w.Trip)
	} else if !w.Recovered {
		p.trip = nil
	}

	if p.role == client.RoleDriver {
		p.commandLocked(client.NewFrame(&wire.SetAvailable{Available: true}))
	}
	p.reportFirst(nil)
}

func (p *phone) handleDisconnect(error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = false
}

// handleFrame accepts every offer and follows the trip.
func (p *phone) handleFrame(f *wire.ServerFrame, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Offer:
		p.commandLocked(client.NewFrame(&wire.AnswerOffer{OfferId: b.Offer.Id, Accept: true}))
	case *wire.ServerFrame_Ack:
		p.followLocked(b.Ack.Trip)
	case *wire.ServerFrame_TripEvent:
		p.followLocked(b.TripEvent.Trip)
	}
}

// followLocked takes a newer version of the trip, or a new trip.
func (p *phone) followLocked(t *wire.Trip) {
	if t == nil || p.trip != nil && t.Id == p.trip.Id && t.Version <= p.trip.Version {
		return
	}
	p.trip = t

	part := map[string]time.Duration{client.StateRequested: 4, client.StateReserved: 4, client.StateArrived: 8, client.StateOnTrip: 2}[t.State]
	if part > 0 {
		p.due = time.Now().Add(time.Duration(float64(p.generator.cfg.Ride/part) * (.5 + p.rng.Float64())))
	} else {
		p.due = time.Now().Add(time.Duration(p.rng.Int64N(int64(p.generator.cfg.Ride))))
	}
}

func (p *phone) activeLocked() bool { return client.IsActive(p.trip.GetState()) }

// moveCarLocked puts the car where the trip's next step is made, and makes a fix
// due: a node takes no step from elsewhere.
func (p *phone) moveCarLocked(now time.Time) {
	goal := map[string]*wire.Point{client.StateReserved: p.trip.GetPickup(), client.StateArrived: p.trip.GetPickup(),
		client.StateOnTrip: p.trip.GetDropoff()}[p.trip.GetState()]
	if p.role != client.RoleDriver || goal == nil {
		return
	}
	p.at, p.fixDue = location.Point{Lng: goal.Lng, Lat: goal.Lat}, now.Add(-time.Millisecond)
}

// doDueActions sends the position and the step that are due.
func (p *phone) doDueActions(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if !p.connected {
		return
	}

	if !now.Before(p.due) {
		p.moveCarLocked(now)
	}
	if p.role == client.RoleDriver && now.After(p.fixDue) {
		if p.fixDue.IsZero() { // Spreads the fixes of all drivers.
			p.fixDue = now.Add(-time.Duration(p.rng.Int64N(int64(p.generator.cfg.Fixes))))
		}
		p.fixDue = p.fixDue.Add(p.generator.cfg.Fixes)
		if p.fixDue.Before(now) {
			p.fixDue = now.Add(p.generator.cfg.Fixes)
		}
		p.fixCount++
		_ = p.session.Send(client.NewFrame(&wire.Fix{Seq: p.fixCount, AtMs: wire.ToMillis(now), Point: wirePoint(p.at), Accuracy: 5}))
	}

	if now.Before(p.due) {
		return
	}
	p.due = now.Add(repeatStepAfter)
	p.stepLocked()
}

func (p *phone) stepLocked() {
	switch {
	case p.role == client.RoleDriver && p.activeLocked():
		step, ok := map[string]wire.Step{client.StateReserved: wire.Step_ARRIVE, client.StateArrived: wire.Step_START,
			client.StateOnTrip: wire.Step_COMPLETE}[p.trip.State]
		if ok {
			p.commandLocked(client.NewFrame(&wire.MoveTrip{TripId: p.trip.Id, Step: step}))
		}
	case p.role == client.RoleRider && p.trip.GetState() == client.StateOnTrip:
		p.due = p.due.Add(p.generator.cfg.Ride)
		p.commandLocked(client.NewFrame(&wire.SendChat{TripId: p.trip.Id, Text: "Nearly there"}))
	case p.rides && !p.activeLocked():
		p.commandLocked(client.NewFrame(&wire.RequestTrip{Pickup: wirePoint(p.at), Dropoff: wirePoint(p.to)}))
	}
}

// commandLocked sends a command once, under a new id. Without an answer,
// doDueActions sends another one later.
func (p *phone) commandLocked(f *wire.ClientFrame) {
	p.commandCount++
	f.Id = fmt.Sprintf("%s-%d-%d", p.id, p.welcomeTime.UnixMilli(), p.commandCount)
	_ = p.session.Send(f)
}

func (p *phone) welcomedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.connected {
		return time.Time{}
	}
	return p.welcomeTime
}

func (p *phone) firstChoice() (at time.Time, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chosenAt, p.firstWait
}

// dropConnection drops the connection without a close frame; the session
// reconnects.
func (p *phone) dropConnection() {
	p.mu.Lock()
	p.connected = false
	p.mu.Unlock()
	p.session.Drop()
}
