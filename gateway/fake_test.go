package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// memory keeps the contracts of Store, chat.Store, payments.Store and
// sos.Store in maps.
type memory struct {
	// onCommit, if set before use, is called after each commit, in the order of
	// the commits, one at a time and without a lock, as the relay would; it may
	// use the store.
	onCommit func(trips.OutboxMessage)

	// onRead, if set, is called before each call; it may be set while no
	// call runs.
	onRead func()

	mu         sync.Mutex // guards all below
	down       error      // what every call answers while set
	events     map[trips.TripID][]trips.Event
	keys       map[keyID]recorded
	messages   map[trips.TripID][]chat.Message
	charges    map[trips.TripID]payments.Charge
	alerts     []sos.Alert
	lastID     int64
	unnotified []trips.OutboxMessage
	notifying  bool
}

type keyID struct {
	actor trips.Actor
	id    string
}

type recorded struct {
	print string
	event trips.Event
}

var (
	_ Store          = (*memory)(nil)
	_ chat.Store     = (*memory)(nil)
	_ payments.Store = (*memory)(nil)
)

func newMemory() *memory {
	return &memory{events: map[trips.TripID][]trips.Event{}, keys: map[keyID]recorded{},
		messages: map[trips.TripID][]chat.Message{}, charges: map[trips.TripID]payments.Charge{}}
}

// breakWith makes every call answer err until it is called with nil.
func (m *memory) breakWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

// beginCall takes the lock, or says why the store is down.
func (m *memory) beginCall(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.onRead != nil {
		m.onRead()
	}

	m.mu.Lock()
	if m.down != nil {
		defer m.mu.Unlock()
		return m.down
	}
	return nil
}

// commitLocked writes the outbox row.
func (m *memory) commitLocked(
	topic trips.Topic, kind trips.Kind, region location.Region, id trips.TripID, at time.Time, payload any,
) {
	data, err := json.Marshal(payload)
	if err != nil {
		panic(err) // the payloads are plain structs
	}
	m.lastID++
	m.unnotified = append(m.unnotified,
		trips.OutboxMessage{ID: m.lastID, Topic: topic, Region: region, Kind: kind, Trip: id, Payload: data, At: at})
}

// notifyCommitted hands over what was committed. One caller at a time does it
// for all, so that the order holds.
func (m *memory) notifyCommitted() {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.notifying {
		return
	}
	m.notifying = true

	for len(m.unnotified) > 0 {
		n := m.unnotified[0]
		m.unnotified = m.unnotified[1:]

		if m.onCommit != nil {
			m.mu.Unlock()
			m.onCommit(n)
			m.mu.Lock()
		}
	}

	m.notifying = false
}

func (m *memory) lastLocked(id trips.TripID) (trips.Event, error) {
	if list := m.events[id]; len(list) > 0 {
		return list[len(list)-1], nil
	}
	return trips.Event{}, fmt.Errorf("trip %s: %w", id, trips.ErrNotFound)
}

func (m *memory) recordedLocked(k trips.IdempotencyKey) (trips.Event, error) {
	was, ok := m.keys[keyID{k.Actor, k.ID}]
	switch {
	case !ok:
		return trips.Event{}, fmt.Errorf("key %s: %w", k.ID, trips.ErrNotFound)
	case was.event.Trip.ID == "":
		return trips.Event{}, fmt.Errorf("key %s: %w", k.ID, trips.ErrAbandoned)
	case was.print != k.Fingerprint:
		return trips.Event{}, fmt.Errorf("key %s: %w", k.ID, trips.ErrKeyReused)
	}
	return was.event, nil
}

func (m *memory) Abandon(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	if err := m.beginCall(ctx); err != nil {
		return trips.Event{}, err
	}
	defer m.mu.Unlock()
	if _, known := m.keys[keyID{k.Actor, k.ID}]; !known {
		m.keys[keyID{k.Actor, k.ID}] = recorded{print: k.Fingerprint}
	}
	return m.recordedLocked(k)
}

func (m *memory) Apply(ctx context.Context, mv trips.Command) (trips.Event, error) {
	if err := m.beginCall(ctx); err != nil {
		return trips.Event{}, err
	}
	ev, err := m.applyLocked(mv)
	m.mu.Unlock()
	m.notifyCommitted()
	return ev, err
}

func (m *memory) applyLocked(mv trips.Command) (trips.Event, error) {
	if _, known := m.keys[keyID{mv.Key.Actor, mv.Key.ID}]; known {
		return m.recordedLocked(mv.Key)
	}
	t := mv.Event.Trip

	last, err := m.lastLocked(t.ID)
	switch {
	case err != nil && t.Version != 1:
		return trips.Event{}, err
	case last.Trip.Version != t.Version-1:
		return trips.Event{}, fmt.Errorf("trip %s: %w", t.ID, trips.ErrConflict)
	}

	if err := m.freeLocked(t); err != nil {
		return trips.Event{}, err
	}
	m.events[t.ID] = append(m.events[t.ID], mv.Event)
	m.keys[keyID{mv.Key.Actor, mv.Key.ID}] = recorded{mv.Key.Fingerprint, mv.Event}
	m.commitLocked(trips.TopicTrip, mv.Event.Kind, t.Region, t.ID, mv.Event.At, mv.Event)
	return mv.Event, nil
}

// freeLocked says whether rider and driver have no other active trip.
func (m *memory) freeLocked(t trips.Trip) error {
	if !t.State.IsActive() {
		return nil
	}

	for _, other := range m.tripsLocked(func(o trips.Trip) bool { return o.ID != t.ID && o.State.IsActive() }) {
		if other.Rider == t.Rider {
			return fmt.Errorf("rider %s: %w", t.Rider, trips.ErrRiderBusy)
		}
		if t.Driver != "" && other.Driver == t.Driver {
			return fmt.Errorf("driver %s: %w", t.Driver, trips.ErrTaken)
		}
	}
	return nil
}

// tripsLocked returns the trips that match, oldest first.
func (m *memory) tripsLocked(match func(trips.Trip) bool) []trips.Trip {
	var out []trips.Trip
	for _, list := range m.events {
		if t := list[len(list)-1].Trip; match(t) {
			out = append(out, t)
		}
	}

	slices.SortFunc(out, func(a, b trips.Trip) int {
		return cmp.Or(a.RequestedAt.Compare(b.RequestedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (m *memory) findTrips(ctx context.Context, match func(trips.Trip) bool) ([]trips.Trip, error) {
	if err := m.beginCall(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.tripsLocked(match), nil
}

func (m *memory) Trip(ctx context.Context, id trips.TripID) (trips.Trip, error) {
	if err := m.beginCall(ctx); err != nil {
		return trips.Trip{}, err
	}
	defer m.mu.Unlock()
	last, err := m.lastLocked(id)
	return last.Trip, err
}

func (m *memory) RecordedEvent(ctx context.Context, k trips.IdempotencyKey) (trips.Event, error) {
	if err := m.beginCall(ctx); err != nil {
		return trips.Event{}, err
	}
	defer m.mu.Unlock()
	return m.recordedLocked(k)
}

func (m *memory) Events(ctx context.Context, id trips.TripID, after uint32) ([]trips.Event, error) {
	if err := m.beginCall(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	list := m.events[id]
	return slices.Clone(list[min(int(after), len(list)):]), nil
}

func (m *memory) ActiveTrip(ctx context.Context, a trips.Actor) (trips.Trip, error) {
	list, err := m.findTrips(ctx, func(t trips.Trip) bool { return t.State.IsActive() && t.Concerns(a) })
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%v: %w", a, trips.ErrNotFound)
	}
	if err != nil {
		return trips.Trip{}, err
	}
	return list[0], nil
}

func (m *memory) OpenTrips(ctx context.Context, limit int) ([]trips.Trip, error) {
	list, err := m.findTrips(ctx, func(t trips.Trip) bool { return t.State == trips.Requested })
	return list[:min(limit, len(list))], err
}

func (m *memory) TripsWithDriver(ctx context.Context) ([]trips.Trip, error) {
	return m.findTrips(ctx, func(t trips.Trip) bool { return t.State.IsActive() && t.Driver != "" })
}

func (m *memory) ListTrips(ctx context.Context, a trips.Actor, before time.Time, limit int) ([]trips.Trip, error) {
	list, err := m.findTrips(ctx, func(t trips.Trip) bool { return t.Concerns(a) && t.RequestedAt.Before(before) })
	slices.Reverse(list)
	return list[:min(limit, len(list))], err
}

func (m *memory) AppendChat(ctx context.Context, said chat.Message, region string) (chat.Message, error) {
	if err := m.beginCall(ctx); err != nil {
		return chat.Message{}, err
	}
	kept, err := m.appendLocked(said, region)
	m.mu.Unlock()
	m.notifyCommitted()
	return kept, err
}

func (m *memory) appendLocked(said chat.Message, region string) (chat.Message, error) {
	if _, err := m.lastLocked(said.Trip); err != nil {
		return chat.Message{}, err
	}

	for _, was := range m.messages[said.Trip] {
		if was.From != said.From || was.ClientID != said.ClientID {
			continue
		}
		if was.Text != said.Text {
			return chat.Message{}, fmt.Errorf("message %s: %w", said.ClientID, trips.ErrKeyReused)
		}
		return was, nil
	}

	said.Seq = uint32(len(m.messages[said.Trip]) + 1)
	m.messages[said.Trip] = append(m.messages[said.Trip], said)
	m.commitLocked(trips.TopicChat, "", location.Region(region), said.Trip, said.At, said)
	return said, nil
}

func (m *memory) ChatHistory(ctx context.Context, id trips.TripID, after uint32, limit int) ([]chat.Message, error) {
	if err := m.beginCall(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	list := m.messages[id]
	list = list[min(int(after), len(list)):]
	return slices.Clone(list[:min(limit, len(list))]), nil
}

func (m *memory) RecordCharge(ctx context.Context, c payments.Charge) (payments.Charge, error) {
	if err := m.beginCall(ctx); err != nil {
		return payments.Charge{}, err
	}
	kept, err := m.settleLocked(c)
	m.mu.Unlock()
	m.notifyCommitted()
	return kept, err
}

func (m *memory) settleLocked(c payments.Charge) (payments.Charge, error) {
	last, err := m.lastLocked(c.Trip)
	if err != nil {
		return payments.Charge{}, err
	}
	if last.Trip.State != trips.Completed {
		return payments.Charge{}, fmt.Errorf("trip %s is %s: %w", c.Trip, last.Trip.State, trips.ErrBadMove)
	}
	if was, ok := m.charges[c.Trip]; ok {
		return was, nil
	}

	m.charges[c.Trip] = c
	m.commitLocked(trips.TopicReceipt, "", last.Trip.Region, c.Trip, c.At, c)
	return c, nil
}

func (m *memory) Charge(ctx context.Context, id trips.TripID) (payments.Charge, error) {
	if err := m.beginCall(ctx); err != nil {
		return payments.Charge{}, err
	}
	defer m.mu.Unlock()

	c, ok := m.charges[id]
	if !ok {
		return c, fmt.Errorf("charge of trip %s: %w", id, trips.ErrNotFound)
	}
	return c, nil
}

func (m *memory) UnchargedTrips(ctx context.Context, before time.Time, limit int) ([]trips.Trip, error) {
	if err := m.beginCall(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()

	list := m.tripsLocked(func(t trips.Trip) bool {
		_, charged := m.charges[t.ID]
		return t.State == trips.Completed && t.EndedAt.Before(before) && !charged
	})
	slices.SortStableFunc(list, func(a, b trips.Trip) int { return a.EndedAt.Compare(b.EndedAt) })
	return list[:min(limit, len(list))], nil
}

func (m *memory) RiderCharges(ctx context.Context, rider trips.RiderID, limit int) ([]payments.Charge, error) {
	if err := m.beginCall(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()

	var out []payments.Charge
	for _, c := range m.charges {
		if c.Rider == rider {
			out = append(out, c)
		}
	}

	slices.SortFunc(out, func(a, b payments.Charge) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Trip, b.Trip)) })
	return out[:min(limit, len(out))], nil
}

func (m *memory) ResumeStates(ctx context.Context, queries []trips.ResumeQuery) (
	[]trips.ResumeState, map[trips.TripID]payments.Charge, error,
) {
	if err := m.beginCall(ctx); err != nil {
		return nil, nil, err
	}
	defer m.mu.Unlock()

	states, receipts := make([]trips.ResumeState, len(queries)), map[trips.TripID]payments.Charge{}
	for i, q := range queries {
		states[i] = m.resumeStateLocked(q)
		if id := states[i].Trip.ID; states[i].Paid {
			receipts[id] = m.charges[id]
		}
	}

	return states, receipts, nil
}

func (m *memory) resumeStateLocked(q trips.ResumeQuery) (st trips.ResumeState) {
	active := m.tripsLocked(func(t trips.Trip) bool { return t.State.IsActive() && t.Concerns(q.Who) })
	last, err := m.lastLocked(q.Trip)
	switch {
	case len(active) > 0:
		st.Trip = active[0]
	case err != nil:
		return st
	default:
		st.Trip = last.Trip
	}

	st.LastChatSeq = uint32(len(m.messages[st.Trip.ID]))
	st.SOSAcked = slices.ContainsFunc(m.alerts, func(a sos.Alert) bool {
		return a.From == q.Who && a.Trip == st.Trip.ID && !a.AckedAt.IsZero()
	})
	_, charged := m.charges[st.Trip.ID]
	st.Paid = charged && q.Who == trips.Rider(st.Trip.Rider)
	return st
}

func TestFakeStoreTellsEachCommitOnceAndInOrder(t *testing.T) {
	m, now := newMemory(), time.Unix(1_700_000_000, 0)
	service := &trips.Service{Store: m, Now: func() time.Time { return now }}
	var told []trips.OutboxMessage
	m.onCommit = func(n trips.OutboxMessage) {
		// A listener that commits must be told of that too, after this.
		told = append(told, n)
		if n.Kind == trips.KindRequested {
			commitStep(t, service, "d", n.Trip, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("d", at) })
		}
	}

	key := trips.IdempotencyKey{Actor: trips.Rider("r"), ID: "1", Fingerprint: "go"}
	for range 2 {
		_, err := service.RequestTrip(t.Context(), key, "r", location.Point{}, location.Point{Lng: .1}, trips.Quote{})
		if err != nil {
			t.Fatal(err)
		}
	}

	if len(told) != 2 || told[0].ID != 1 || told[1].ID != 2 || told[1].Kind != trips.KindReserved {
		t.Errorf("told %+v", told)
	}
}

// commitStep commits a driver's step, or ends the test.
func commitStep(t testing.TB, service *trips.Service, driver string, id trips.TripID, verb trips.Transition) trips.Trip {
	t.Helper()
	before, err := service.Store.Trip(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}

	key := trips.IdempotencyKey{Actor: trips.Driver(trips.DriverID(driver)), ID: fmt.Sprintf("%s-%d", id, before.Version)}
	ev, err := service.Apply(t.Context(), key, id, verb)
	if err != nil {
		t.Fatal(err)
	}
	return ev.Trip
}
