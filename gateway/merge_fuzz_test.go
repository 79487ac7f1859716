package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/store/faulty"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// FuzzMerge plays a program of commits, news that comes late, twice, in any
// order or never, gaps, and phones that come back with what they have or with a
// lie. News may also come between the moment in which the store is read and the
// one in which what was read is sent. What the phone gets of a trip must be
// numbered without a hole and without a repeat from where it was told that it
// stands, and in the end it has all.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 1, 2, 0, 3, 1, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("commit, tell, lose, come back, and tell it all once more"))
	f.Add([]byte{6, 1, 0, 9, 0, 17, 25, 33, 4, 12, 20, 6, 2, 0, 8, 16, 24, 5, 13, 7, 3, 11, 19, 27, 6, 3, 1, 0, 2, 10, 18})

	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 300 {
			return // longer ones find nothing else
		}
		m := newMerge(t, program)
		m.connectPhone(nil)
		for len(m.program) > 0 {
			m.runStep()
		}
		m.catchUpFully()
	})
}

// TestSimulatedMergesHaveNoHoleAndNoRepeat runs FuzzMerge's programs from
// seeds, so that every test run plays some.
func TestSimulatedMergesHaveNoHoleAndNoRepeat(t *testing.T) {
	first, n := faulty.Seeds(t, 200)
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		rng, program := rand.New(rand.NewPCG(seed, 11)), make([]byte, 250)
		for i := range program {
			program[i] = byte(rng.Uint32())
		}
		m := newMerge(t, program)
		m.connectPhone(nil)
		for len(m.program) > 0 {
			m.runStep()
		}
		m.catchUpFully()
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}
}

// merge is one rider's phone, whose session is never written to a socket: what
// would be, stays in its queue.
type merge struct {
	t        *testing.T
	program  []byte
	store    *memory
	service  *trips.Service
	g        *Gateway
	at       time.Time
	s        *session
	trip     trips.Trip
	messages []trips.OutboxMessage // all there ever were
	deep     int                   // news within a read of the store

	// What the phone has.
	has       trips.TripID
	seq, chat uint32
	past      map[trips.TripID]bool
	read      int // frames of the queue
}

func newMerge(t *testing.T, program []byte) *merge {
	m := &merge{t: t, program: program, store: newMemory(), at: time.Unix(1_700_000_000, 0), past: map[trips.TripID]bool{}}
	now := func() time.Time { return m.at }
	m.store.onCommit = func(n trips.OutboxMessage) { m.messages = append(m.messages, n) }

	m.service = &trips.Service{Store: m.store, Now: now}
	slow := interrupted{m.store, m}
	m.g = New(Config{Node: "node", Trips: m.service, Store: slow, Receipts: m.store, Alerts: m.store,
		Room:    &chat.Room{Store: interruptedTalk{m.store, m}, Trips: m.store, Now: now},
		Drivers: sharedstate.NewDrivers(sharedstate.DriverOptions{Now: now, Shards: 1}), Inbox: dispatch.NewInbox(now),
		Auth: testTokens(t, &auth.Revocations{Now: now}, now), Limits: Limits{Queue: 1 << 20, FramesPerSec: 1, Burst: 1},
		Registerer: prometheus.NewRegistry(), Now: now, Log: slog.New(slog.DiscardHandler)})

	// No rate limit, and no second goroutine: a program always runs the same.
	m.g.resumes = newResumeBatcher(m.g.readResumeStates, func(f func()) bool { f(); return true })
	m.g.resumes.pace.SetLimit(rate.Inf)

	t.Cleanup(func() {
		if m.s != nil {
			m.s.leave()
		}
		m.g.Drain(context.Background())
	})

	return m
}

// nextByte takes a byte of the program; 0 when it is over.
func (m *merge) nextByte() byte {
	if len(m.program) == 0 {
		return 0
	}
	b := m.program[0]
	m.program = m.program[1:]
	return b
}

func (m *merge) runStep() {
	switch b := m.nextByte(); b % 8 {
	case 0, 1:
		m.commitMove(b)
	case 2, 3, 4:
		m.deliverMessage(b)
	case 5:
		m.g.OnGap()
	case 6:
		m.reconnect(b)
	case 7:
		m.catchUp()
	}
}

// commitMove says something, or moves the trip on; when it is over, the rider
// asks for another.
func (m *merge) commitMove(b byte) {
	m.at = m.at.Add(time.Second)
	ctx, by := context.Background(), trips.Driver("d")
	if m.trip.ID != "" && b&8 != 0 {
		text := fmt.Sprint("message ", len(m.messages))
		if _, err := m.store.AppendChat(ctx, chat.Message{Trip: m.trip.ID, From: by, ClientID: text, Text: text, At: m.at}, ""); err != nil {
			m.t.Fatal(err)
		}
		return
	}

	if !m.trip.State.IsActive() {
		key := trips.IdempotencyKey{Actor: trips.Rider("r"), ID: fmt.Sprint("request ", m.at)}
		ev, err := m.service.RequestTrip(ctx, key, "r", market, airport, trips.Quote{Fare: trips.Money{Minor: 1, Currency: "NGN"}})
		if err != nil {
			m.t.Fatal(err)
		}
		m.trip = ev.Trip
		return
	}

	var ev trips.Event
	var err error
	switch m.trip.State {
	case trips.Requested:
		ev, err = m.trip.Reserve("d", m.at)
	case trips.OnTrip:
		ev, err = m.trip.Complete(by, m.at)
	default:
		if ev, err = m.trip.Start(by, m.at); err != nil {
			ev, err = m.trip.Arrive(by, m.at)
		}
	}

	if err == nil {
		ev, err = m.store.Apply(ctx, trips.Command{Key: trips.IdempotencyKey{Actor: ev.By, ID: fmt.Sprint("move ", m.at)}, Event: ev})
	}
	if err != nil {
		m.t.Fatal(err)
	}

	m.trip = ev.Trip
}

// deliverMessage delivers any message there was, as often as the program asks.
func (m *merge) deliverMessage(b byte) {
	if len(m.messages) == 0 {
		return
	}
	n := m.messages[len(m.messages)-1]
	if b&8 != 0 {
		n = m.messages[int(m.nextByte())%len(m.messages)]
	}

	deliverAsNode(m.g, n)
}

// interrupt lets things happen after the store was read and before the reader
// goes on.
func (m *merge) interrupt() {
	if m.deep > 0 {
		return
	}
	m.deep++

	for range m.nextByte() % 4 {
		switch b := m.nextByte(); b % 4 {
		case 0:
			m.commitMove(b >> 1)
		case 3:
			m.g.OnGap()
		default:
			m.deliverMessage(b)
		}
	}

	m.deep--
}

func (m *merge) catchUp() {
	if m.s.hasGap() {
		if err := m.s.catchUp(context.Background()); err != nil {
			m.t.Fatal(err)
		}
	}

	m.readAll()
}

// reconnect comes back with what the phone has, or with a lie.
func (m *merge) reconnect(b byte) {
	m.readAll()
	m.s.leave()

	r := &wire.Resume{Epoch: epoch, TripId: string(m.has), TripSeq: m.seq, ChatSeq: m.chat}
	switch b >> 3 {
	case 1:
		r = nil
	case 2:
		r.Epoch = "another"
	case 3:
		r.TripSeq += 50
	case 4:
		r.TripId = "unknown"
	}

	m.connectPhone(r)
}

func (m *merge) connectPhone(r *wire.Resume) {
	m.s = &session{g: m.g, conn: phoneConn{g: m.g, codec: wire.Proto}, user: trips.Rider("r"), until: m.at.Add(time.Hour)}
	m.s.out.g, m.s.out.conn, m.s.out.writing = m.g, &m.s.conn, true
	m.read = 0
	if !m.g.registerSession(m.s) {
		m.t.Fatal("the phone is not let in")
	}
	if err := m.s.sendWelcome(r); err != nil {
		m.t.Fatal(err)
	}

	m.readAll()
}

// readAll is the phone: it trusts the numbers, and a welcome that says where it
// stands.
func (m *merge) readAll() {
	m.s.out.mu.Lock()
	queue := m.s.out.queue.frames[m.read:]
	m.read = len(m.s.out.queue.frames)
	m.s.out.mu.Unlock()

	for _, l := range queue {
		var f wire.ServerFrame
		if err := wire.Proto.Decode(l.data, &f); err != nil {
			m.t.Fatal(err)
		}

		switch b := f.Body.(type) {
		case *wire.ServerFrame_Welcome:
			if w := b.Welcome; !w.Recovered {
				m.has, m.seq, m.chat = trips.TripID(w.GetTrip().GetId()), w.GetTrip().GetVersion(), w.ChatSeq
				clear(m.past) // what it knew counts no more
			}
		case *wire.ServerFrame_TripEvent:
			e := b.TripEvent
			m.turnTo(trips.TripID(e.TripId))
			if e.Seq != m.seq+1 {
				m.t.Fatalf("event %d of trip %s came after %d", e.Seq, e.TripId, m.seq)
			}
			m.seq = e.Seq
		case *wire.ServerFrame_Chat:
			c := b.Chat
			m.turnTo(trips.TripID(c.TripId))
			if c.Seq != m.chat+1 {
				m.t.Fatalf("message %d of trip %s came after %d", c.Seq, c.TripId, m.chat)
			}
			m.chat = c.Seq
		}
	}
}

// turnTo is the phone hearing of a new trip. It never hears of the one before
// again.
func (m *merge) turnTo(id trips.TripID) {
	if id == m.has {
		return
	}
	if m.past[id] {
		m.t.Fatalf("news of trip %s came after trip %s had begun", id, m.has)
	}

	m.past[m.has] = m.has != ""
	m.has, m.seq, m.chat = id, 0, 0
}

// catchUpFully lets all calm down: the phone must have everything of the
// rider's newest trip.
func (m *merge) catchUpFully() {
	m.program = nil
	m.g.OnGap()
	for range 5 {
		m.catchUp()
	}

	said, err := m.store.ChatHistory(context.Background(), m.trip.ID, 0, 1000)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.trip.State.IsActive() && m.has != m.trip.ID {
		m.t.Fatalf("the phone is at trip %q, the rider at %q", m.has, m.trip.ID)
	}
	if m.has == m.trip.ID && m.has != "" && (m.seq != m.trip.Version || int(m.chat) != len(said)) {
		m.t.Fatalf("the phone has %d events of %d and %d messages of %d", m.seq, m.trip.Version, m.chat, len(said))
	}
}

// interrupted is the store of trips, read while things happen.
type interrupted struct {
	*memory
	m *merge
}

func (i interrupted) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	defer i.m.interrupt()
	return i.memory.ResumeStates(ctx, queries)
}

func (i interrupted) Events(ctx context.Context, id trips.TripID, after uint32) ([]trips.Event, error) {
	list, err := i.memory.Events(ctx, id, after)
	i.m.interrupt()
	return list, err
}

func (i interrupted) ActiveTrip(ctx context.Context, a trips.Actor) (trips.Trip, error) {
	t, err := i.memory.ActiveTrip(ctx, a)
	i.m.interrupt()
	return t, err
}

// interruptedTalk is the store of chat.
type interruptedTalk struct {
	*memory
	m *merge
}

func (i interruptedTalk) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	list, err := i.memory.ChatHistory(ctx, id, after, limit)
	i.m.interrupt()
	return list, err
}
