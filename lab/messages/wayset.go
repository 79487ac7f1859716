package messages

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// The names of the ways.
const (
	plainWay    = "publish/subscribe"
	numberedWay = "numbered, re-read"
	queueWay    = "queue"
	directWay   = "direct call (RPC)"
	pollingWay  = "polling"
)

// Way is what one way of sending did. Ages are in milliseconds, from when a
// message was due to when it first arrived.
type Way struct {
	Name         string  `json:"name"`
	Sent         int     `json:"sent"`
	Refused      int     `json:"refused"` // the sender was told at once that it failed
	Received     int     `json:"received"`
	Deliveries   int     `json:"deliveries"`
	Twice        int     `json:"twice"`
	Lost         int     `json:"lost"`
	AgeP50       float64 `json:"age_p50_ms"`
	AgeWorst     float64 `json:"age_worst_ms"`
	AgeMeanThere float64 `json:"age_mean_there_ms"` // of what did not wait for the receiver to come back
	Commands     int64   `json:"redis_commands"`
	Calls        int     `json:"calls"` // by RPC
	Reads        int     `json:"reads"` // of the store: polls, or messages read again
	Known        int     `json:"known"` // published messages that the receiver had from the store
}

// sender is one way of sending.
type sender interface {
	// join returns when the receiver hears.
	join(ctx context.Context) error
	// leave returns when the receiver hears no more. It may be called twice.
	leave()
	send(ctx context.Context, message int) error
}

// runningWay is a way with its counts.
type runningWay struct {
	name string
	sender
	tally *tally
	begin func() // called when the first message is due
	// drains says that the receiver gets all that was sent before it leaves.
	drains  bool
	refused int                // only the direct call may fail
	count   func(figures *Way) // adds what only this way counts
}

// wayset is the five ways and what they stand on.
type wayset struct {
	plan    plan
	ways    []*runningWay
	parts   []finding.Part
	onPoint func(curve string, x, y float64)
	log     *slog.Logger

	redis   string // its URL; empty: embedded ones
	db      store.Store
	folder  string
	closers []func()
}

// openWays opens everything that the ways need. Nothing is left open beside an
// error.
func openWays(ctx context.Context, run *finding.Run, p plan) (set *wayset, err error) {
	set = &wayset{plan: p, onPoint: run.Point, log: run.Log, redis: run.Redis}
	defer func() {
		if err != nil {
			set.close()
		}
	}()

	if set.folder, err = os.MkdirTemp("", "ridehail-patterns-"); err != nil {
		return set, err
	}
	set.closers = append(set.closers, func() { _ = os.RemoveAll(set.folder) })

	db, closeStore, err := store.Open(ctx, filepath.Join(set.folder, "chat.db"), store.Options{Log: set.log})
	if err != nil {
		return set, err
	}
	set.closers = append(set.closers, func() { _ = closeStore() })
	set.parts = append(set.parts, finding.Part{Name: "SQLite", Where: filepath.Join(set.folder, "chat.db")})

	set.db = db
	for _, add := range []func(context.Context) error{set.addPlain, set.addNumbered, set.addQueue, set.addDirect, set.addPolling} {
		if err := add(ctx); err != nil {
			return set, err
		}
	}
	return set, nil
}

// close ends everything, last first.
func (s *wayset) close() {
	for _, end := range slices.Backward(s.closers) {
		end()
	}
	s.closers = nil
}

// addWay takes a way that sends what receive gets.
func (s *wayset) addWay(name string, newSender func(receive func(int)) sender) *runningWay {
	w := &runningWay{name: name, drains: true, begin: func() {}, count: func(*Way) {},
		tally: newTally(s.plan, func(seconds float64, received int) { s.onPoint(name, seconds, float64(received)) })}
	w.sender = newSender(w.tally.receiveMessage)
	s.ways = append(s.ways, w)
	s.closers = append(s.closers, w.leave)
	return w
}

// openRedis opens a client of its own, so that its commands are counted apart.
func (s *wayset) openRedis(ctx context.Context) (*events.Redis, error) {
	r, part, err := openRedis(ctx, s.redis, events.WithLog(s.log), events.WithPrefix(newPrefix()))
	if err != nil {
		return nil, err
	}
	s.parts = append(s.parts, part)
	s.closers = append(s.closers, func() { _ = r.Close() })
	return r, nil
}

func (s *wayset) addPlain(ctx context.Context) error {
	r, err := s.openRedis(ctx)
	if err != nil {
		return err
	}
	w := s.addWay(plainWay, func(receive func(int)) sender {
		return &plain{redis: r, receive: receive, hears: newSignal()}
	})
	w.count = func(f *Way) { f.Commands = r.CommandsSent() }
	return nil
}

// addNumbered starts a relay too, which runs also while the receiver is away.
func (s *wayset) addNumbered(ctx context.Context) error {
	r, err := s.openRedis(ctx)
	if err != nil {
		return err
	}
	trip, err := bookTrip(ctx, s.db, "numbered")
	if err != nil {
		return err
	}

	relay := events.NewRelay(r, s.db, events.RelayConfig{Node: "lab"})
	ctx, stop := context.WithCancel(ctx)
	var relaying sync.WaitGroup
	relaying.Go(func() { _ = relay.Run(ctx) })
	s.closers = append(s.closers, func() { stop(); relaying.Wait() })

	var receiver *numbered
	w := s.addWay(numberedWay, func(receive func(int)) sender {
		receiver = &numbered{redis: r, room: newRoom(s.db), wake: relay.Wake, trip: trip, receive: receive, hears: newSignal()}
		return receiver
	})
	w.count = func(f *Way) { f.Commands, f.Reads, f.Known = r.CommandsSent(), receiver.reread, receiver.known }
	return nil
}

func (s *wayset) addQueue(ctx context.Context) error {
	r, err := s.openRedis(ctx)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = r.DeleteQueue(ctx, queueStream) // a prefix of its own keeps it from other runs
	})

	crashAfter := s.plan.from - 1
	if s.plan.messagesAway() == 0 {
		crashAfter = -1
	}
	w := s.addWay(queueWay, func(receive func(int)) sender {
		q := &queue{redis: r, receive: receive, crashAfter: crashAfter}
		q.handle = q.doFirst
		return q
	})
	w.count = func(f *Way) { f.Commands = r.CommandsSent() }
	return nil
}

func (s *wayset) addDirect(context.Context) error {
	address := filepath.Join(s.folder, "receiver.sock")
	s.parts = append(s.parts, finding.Part{Name: "RPC service", Where: address})
	w := s.addWay(directWay, func(receive func(int)) sender {
		receiver, closeIdle := newDirect(address, receive)
		s.closers = append(s.closers, closeIdle)
		return receiver
	})
	w.count = func(f *Way) { f.Calls = f.Sent }
	return nil
}

func (s *wayset) addPolling(ctx context.Context) error {
	trip, err := bookTrip(ctx, s.db, "polling")
	if err != nil {
		return err
	}
	var receiver *polling
	w := s.addWay(pollingWay, func(receive func(int)) sender {
		receiver = &polling{room: newRoom(s.db), trip: trip, every: s.plan.poll, receive: receive, begun: make(chan struct{})}
		return receiver
	})
	w.begin = func() { close(receiver.begun) }
	w.drains = false // what it has not seen waits in the store
	w.count = func(f *Way) { f.Reads = receiver.polls }
	return nil
}

func newRoom(db store.Store) *chat.Room { return &chat.Room{Store: db, Trips: db, Now: time.Now} }

// bookTrip commits a trip with a rider and a driver, who may then write to each
// other.
func bookTrip(ctx context.Context, db store.Store, name string) (trips.Trip, error) {
	service := &trips.Service{Store: db, Now: time.Now}
	at := location.Point{Lng: 3.4, Lat: 6.45}
	key := func(step string) trips.IdempotencyKey {
		return trips.IdempotencyKey{Actor: trips.Rider(trips.RiderID(name)), ID: name + step}
	}

	asked, err := service.RequestTrip(ctx, key("request"), trips.RiderID(name), at, location.Point{Lng: 3.41, Lat: 6.45},
		trips.Quote{Metres: 1000, Duration: time.Minute})
	if err != nil {
		return trips.Trip{}, fmt.Errorf("book a trip: %w", err)
	}
	got, err := service.Apply(ctx, key("reserve"), asked.Trip.ID, func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Reserve(trips.DriverID(name), at)
	})
	return got.Trip, err
}

// sendAll lets all ways send at the same times and returns when all have
// received what they can.
func (p plan) sendAll(ctx context.Context, set *wayset) error {
	for _, w := range set.ways {
		if err := w.join(ctx); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for _, w := range set.ways {
		w.tally.beginAt(begun)
		w.begin()
		g.Go(func() error {
			if err := w.sendAll(ctx, p, begun); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// sendAll sends the messages. The receiver leaves and comes back at fixed
// numbers, so that counts do not depend on the machine.
func (w *runningWay) sendAll(ctx context.Context, p plan, begun time.Time) error {
	for message := range p.messages {
		if err := w.comeOrGo(ctx, p, message); err != nil {
			return err
		}
		if !sleep.Until(ctx, begun.Add(p.dueTime(message))) {
			return ctx.Err()
		}

		err := w.send(ctx, message)
		if err != nil && (w.name != directWay || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			w.refused++
		}
	}

	err := w.tally.awaitMessage(ctx, p.messages-1)
	w.leave()
	return err
}

// comeOrGo lets the receiver leave or come back before a message.
func (w *runningWay) comeOrGo(ctx context.Context, p plan, message int) error {
	if p.messagesAway() == 0 {
		return nil
	}

	switch message {
	case p.from:
		if w.drains {
			if err := w.tally.awaitMessage(ctx, p.from-1); err != nil {
				return err
			}
		}
		w.leave()
	case p.to:
		return w.join(ctx)
	}
	return nil
}

// collectFigures are the counts of all ways, in their order.
func (s *wayset) collectFigures() []Way {
	out := make([]Way, len(s.ways))
	for i, w := range s.ways {
		out[i] = Way{Name: w.name, Sent: s.plan.messages, Refused: w.refused}
		w.tally.summarizeWay(&out[i])
		w.count(&out[i])
	}
	return out
}
