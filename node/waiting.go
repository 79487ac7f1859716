package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

const (
	topicWaiting = "waiting"
	// waitingEvery is how often the list is compared with what was told. The
	// list is told again each waitingAgain, and forgotten after waitingFor.
	waitingEvery = 200 * time.Millisecond
	waitingAgain = time.Second
	waitingFor   = 3 * time.Second
	// waitingReach is how far, in metres, owners of regions around a pickup may
	// want the same drivers.
	waitingReach = 3000
	// maxWaiting bounds the trips of one message: the oldest count.
	maxWaiting = 500
)

// waitingExchange tells the owners around which trips wait for a driver here,
// and keeps what they tell, so that each matches its own trips as if all were
// matched together. Nothing depends on its messages but the quality of a match.
type waitingExchange struct {
	node         string
	listWaiting  func([]trips.Trip) []trips.Trip // of the dispatcher here
	ownersAround func(p location.Point, metres float64) []string
	isSilent     func() bool // a node of an earlier build would not understand
	publish      func(ctx context.Context, to events.Channel, m events.Message) error
	now          func() time.Time
	log          *slog.Logger

	told map[string]toldList // by node; of the goroutine in run

	mu    sync.Mutex // guards heard
	heard map[string]heardList
}

// toldList is what a node was told last: the trips' ids, and when.
type toldList struct {
	ids string
	at  time.Time
}

// heardList is what a node told last.
type heardList struct {
	waiting []trips.Trip
	at      time.Time
}

// waitingMessage is the list that one node tells another.
type waitingMessage struct {
	Node  string        `json:"node"`
	Trips []waitingTrip `json:"trips"`
}

// waitingTrip is what a matching must know of a trip.
type waitingTrip struct {
	ID          trips.TripID   `json:"id"`
	Pickup      location.Point `json:"pickup"`
	RequestedAt time.Time      `json:"requested_at"`
}

func (x *waitingExchange) run(ctx context.Context) error {
	return sleep.Every(ctx, waitingEvery, x.tellChanges)
}

// tellChanges tells each owner around its list, if that has changed or was told
// long ago. An empty list is told once. A message that fails is told again.
func (x *waitingExchange) tellChanges(ctx context.Context) {
	waiting := x.listWaiting(nil)
	if len(waiting) == 0 && len(x.told) == 0 || x.isSilent() {
		return
	}

	lists := x.listByOwner(waiting)
	for peer := range x.told {
		if _, ok := lists[peer]; !ok {
			lists[peer] = nil
		}
	}
	for peer, list := range lists {
		now, ids := x.now(), joinIDs(list)
		if last := x.told[peer]; last.ids == ids && now.Sub(last.at) < waitingAgain && len(list) > 0 {
			continue
		}
		if err := x.tell(ctx, peer, list); err != nil {
			x.log.Debug("an owner around does not know which trips wait here", "peer", peer, "err", err)
			continue
		}
		if x.told[peer] = (toldList{ids, now}); len(list) == 0 {
			delete(x.told, peer)
		}
	}
}

// listByOwner returns what each owner around must know, oldest first.
func (x *waitingExchange) listByOwner(waiting []trips.Trip) map[string][]waitingTrip {
	slices.SortFunc(waiting, func(a, b trips.Trip) int {
		if c := a.RequestedAt.Compare(b.RequestedAt); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	lists := map[string][]waitingTrip{}
	for _, t := range waiting {
		for _, peer := range x.ownersAround(t.Pickup, waitingReach) {
			if peer != x.node && len(lists[peer]) < maxWaiting {
				lists[peer] = append(lists[peer], waitingTrip{t.ID, t.Pickup, t.RequestedAt})
			}
		}
	}
	return lists
}

func joinIDs(list []waitingTrip) string {
	var b strings.Builder
	for _, t := range list {
		b.WriteString(string(t.ID))
		b.WriteByte('\n')
	}
	return b.String()
}

func (x *waitingExchange) tell(ctx context.Context, peer string, list []waitingTrip) error {
	payload, err := json.Marshal(waitingMessage{Node: x.node, Trips: list})
	if err != nil {
		return err
	}
	return x.publish(ctx, events.NodeChannel(peer), events.Message{Topic: topicWaiting, Payload: payload})
}

// receiveList keeps what another node told. Only the goroutine that listens to
// Redis calls it.
func (x *waitingExchange) receiveList(payload []byte) {
	var m waitingMessage
	if err := json.Unmarshal(payload, &m); err != nil || m.Node == x.node {
		x.log.Warn("the trips that wait at another node cannot be read", "err", err)
		return
	}

	list := heardList{at: x.now()}
	for _, t := range m.Trips[:min(len(m.Trips), maxWaiting)] {
		if t.Pickup.CheckRange() == nil {
			list.waiting = append(list.waiting, trips.Trip{ID: t.ID, State: trips.Requested, Pickup: t.Pickup, RequestedAt: t.RequestedAt})
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.heard[m.Node] = list; len(list.waiting) == 0 {
		delete(x.heard, m.Node)
	}
}

// listElsewhere returns the trips that wait at other owners, as far as they told
// within waitingFor. Any goroutine may call it.
func (x *waitingExchange) listElsewhere() (waiting []trips.Trip) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, peer := range slices.Sorted(maps.Keys(x.heard)) {
		if list := x.heard[peer]; x.now().Sub(list.at) < waitingFor {
			waiting = append(waiting, list.waiting...)
		} else {
			delete(x.heard, peer)
		}
	}
	return waiting
}
