package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// phone is one of the swarm.
type phone struct {
	swarm    *Swarm
	role, id string
	rides    bool
	at, to   location.Point
	token    string

	mu       sync.Mutex // guards below, and writing
	rng      *rand.Rand
	conn     *websocket.Conn
	ready    bool // welcomed on conn
	back     time.Time
	out      []byte
	made     int
	fixes    uint32
	fixDue   time.Time
	due      time.Time // of the next step
	trip     *wire.Trip
	resuming wire.Resume
}

// later says when a node wants us back.
type later time.Duration

func (l later) Error() string { return "come back in " + time.Duration(l).String() }

// first gets a token and the first welcome.
func (p *phone) first(ctx context.Context) (err error) {
	if p.token, err = p.swarm.token(ctx, p.role, p.id); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		if err = p.enter(ctx); err == nil {
			return nil
		}
		if attempt == 8 || !sleep.For(ctx, p.wait(attempt, err)) {
			return err
		}
	}
}

// live reads, and comes back whenever the connection is lost.
func (p *phone) live(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; {
		err := p.read()
		p.drop()
		for ; err != nil && sleep.For(ctx, p.wait(attempt, err)); attempt++ {
			if err = p.enter(ctx); err == nil {
				attempt = 0
				break
			}
			if _, told := errors.AsType[later](err); told {
				p.swarm.told.Add(1)
			} else {
				p.swarm.mute.Add(1)
			}
			p.drop()
		}
	}
	p.drop()
}

// wait is how long to rest before a try: what the node said, else doubling from 200 ms to 5 s.
func (p *phone) wait(attempt int, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if hint, told := errors.AsType[later](err); told {
		if p.swarm.cfg.Jitter {
			return time.Duration(hint) + time.Duration(p.rng.Int64N(int64(time.Second)))
		}
		return time.Duration(hint)
	}
	limit := min(5*time.Second, 200*time.Millisecond<<min(attempt, 10))
	if p.swarm.cfg.Jitter {
		return time.Duration(p.rng.Int64N(int64(limit)))
	}
	return limit
}

// enter connects, says hello, and waits for the welcome.
func (p *phone) enter(ctx context.Context) error {
	conn, res, err := p.swarm.dialer.DialContext(ctx, "ws"+strings.TrimPrefix(p.swarm.cfg.Server, "http")+"/v1/ws", nil)
	if err != nil {
		if res != nil && res.StatusCode == http.StatusServiceUnavailable {
			if s, bad := strconv.Atoi(res.Header.Get("Retry-After")); bad == nil && s >= 0 && s < 600 {
				return later(time.Duration(s) * time.Second)
			}
		}
		return err
	}
	p.mu.Lock()
	p.conn = conn
	if ctx.Err() != nil { // Close may have looked already
		p.mu.Unlock()
		return ctx.Err()
	}
	resume := wire.Resume{Epoch: p.resuming.Epoch, TripId: p.resuming.TripId, TripSeq: p.resuming.TripSeq, ChatSeq: p.resuming.ChatSeq}
	hello := &wire.Hello{Token: p.token, Client: "ridehail swarm"}
	if resume.Epoch != "" {
		hello.Resume = &resume
	}
	err = p.writeLocked(&wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: hello}})
	p.mu.Unlock()
	if err != nil {
		return err
	}
	f, err := p.next(answerWithin)
	if err != nil {
		return err
	}
	w := f.GetWelcome()
	if w == nil {
		return fmt.Errorf("the first frame is %T, not a welcome", f.Body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready, p.back = true, time.Now()
	p.resuming.Epoch = w.Epoch
	if w.Trip != nil {
		p.resuming.TripSeq, p.resuming.ChatSeq = w.Trip.Version, w.ChatSeq
		p.followLocked(w.Trip)
	} else if !w.Recovered {
		p.trip = nil
		p.resuming.TripId, p.resuming.TripSeq, p.resuming.ChatSeq = "", 0, 0
	}
	if p.role == "driver" {
		return p.commandLocked(&wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}})
	}
	return nil
}

func (p *phone) next(within time.Duration) (*wire.ServerFrame, error) {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	_, data, err := conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	f := new(wire.ServerFrame)
	return f, wire.Proto.Decode(data, f)
}

func (p *phone) read() error {
	for {
		f, err := p.next(silence)
		if err == nil {
			err = p.hear(f)
		}
		if err != nil {
			return err
		}
	}
}

// hear does what a phone does with a frame.
func (p *phone) hear(f *wire.ServerFrame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Position:
		if b.Position.N%2 == 0 {
			return p.writeLocked(&wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: b.Position.N}}})
		}
	case *wire.ServerFrame_Offer:
		return p.commandLocked(&wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{
			AnswerOffer: &wire.AnswerOffer{OfferId: b.Offer.Id, Accept: true}}})
	case *wire.ServerFrame_Ack:
		p.followLocked(b.Ack.Trip)
	case *wire.ServerFrame_TripEvent:
		p.followLocked(b.TripEvent.Trip)
		if b.TripEvent.TripId == p.resuming.TripId {
			p.resuming.TripSeq = max(p.resuming.TripSeq, b.TripEvent.Seq)
		}
	case *wire.ServerFrame_Chat:
		if b.Chat.TripId == p.resuming.TripId {
			p.resuming.ChatSeq = max(p.resuming.ChatSeq, b.Chat.Seq)
		}
	}
	return nil
}

// followLocked takes a newer state of the phone's trip, or a new trip.
func (p *phone) followLocked(t *wire.Trip) {
	if t == nil || p.trip != nil && t.Id == p.trip.Id && t.Version <= p.trip.Version {
		return
	}
	if t.Id != p.resuming.TripId {
		p.resuming.TripId, p.resuming.TripSeq, p.resuming.ChatSeq = t.Id, 0, 0
		if p.role == "driver" {
			p.resuming.TripSeq = 1 // the request was not for them
		}
	}
	p.trip = t
	part := map[string]time.Duration{"requested": 4, "reserved": 4, "arrived": 8, "on_trip": 2}[t.State]
	if part > 0 {
		p.due = time.Now().Add(time.Duration(float64(p.swarm.cfg.Ride/part) * (.5 + p.rng.Float64())))
	} else {
		p.due = time.Now().Add(time.Duration(p.rng.Int64N(int64(p.swarm.cfg.Ride))))
	}
}

func (p *phone) riding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.activeLocked()
}

func (p *phone) activeLocked() bool {
	if p.trip == nil {
		return false
	}
	switch p.trip.State {
	case "requested", "reserved", "arrived", "on_trip":
		return true
	}
	return false
}

// act does what is due: a position, the next step of a ride, a word, the next ride.
func (p *phone) act(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return
	}
	if p.role == "driver" && now.After(p.fixDue) {
		if p.fixDue.IsZero() { // so that not all send at the same moment
			p.fixDue = now.Add(-time.Duration(p.rng.Int64N(int64(p.swarm.cfg.Fixes))))
		}
		p.fixDue = p.fixDue.Add(p.swarm.cfg.Fixes)
		if p.fixDue.Before(now) {
			p.fixDue = now.Add(p.swarm.cfg.Fixes)
		}
		p.fixes++
		_ = p.writeLocked(&wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: p.fixes, AtMs: wire.Millis(now),
			Point: point(p.at), Accuracy: 5}}}) // the reader notices a lost connection
	}
	if now.Before(p.due) {
		return
	}
	p.due = now.Add(askAgain)
	_ = p.stepLocked() // likewise
}

func (p *phone) stepLocked() error {
	switch {
	case p.role == "driver" && p.activeLocked():
		step, ok := map[string]wire.Step{"reserved": wire.Step_ARRIVE, "arrived": wire.Step_START, "on_trip": wire.Step_COMPLETE}[p.trip.State]
		if !ok {
			return nil
		}
		return p.commandLocked(&wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: p.trip.Id, Step: step}}})
	case p.role == "rider" && p.activeLocked() && p.trip.State == "on_trip":
		p.due = p.due.Add(p.swarm.cfg.Ride)
		return p.commandLocked(&wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: p.trip.Id, Text: "Nearly there"}}})
	case p.rides && !p.activeLocked():
		return p.commandLocked(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{
			Pickup: point(p.at), Dropoff: point(p.to)}}})
	}
	return nil
}

// commandLocked sends a command under a new id.
func (p *phone) commandLocked(f *wire.ClientFrame) error {
	p.made++
	f.Id = fmt.Sprintf("%s-%d-%d", p.id, p.back.UnixMilli(), p.made)
	return p.writeLocked(f)
}

func (p *phone) writeLocked(f *wire.ClientFrame) (err error) {
	if p.out, err = wire.Proto.Append(p.out[:0], f); err != nil {
		return err
	}
	if err = p.conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	return p.conn.WriteMessage(websocket.BinaryMessage, p.out)
}

func (p *phone) welcomedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return time.Time{}
	}
	return p.back
}

// drop cuts the connection; the reader notices.
func (p *phone) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = false
	if p.conn != nil {
		_ = p.conn.NetConn().Close()
	}
}
