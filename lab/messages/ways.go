package messages

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/routingpb"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
	"github.com/ridehail/ridehail/trips"
)

// presence is a receiver's work, which runs from join to leave.
type presence struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// start runs the receiver until leave.
func (p *presence) start(ctx context.Context, run func(context.Context)) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.work.Go(func() { run(ctx) })
}

// leave ends the receiver's work and waits for it.
func (p *presence) leave() {
	if p.cancel != nil {
		p.cancel()
		p.work.Wait()
	}
}

// region is where all of this is published.
const region location.Region = "patterns"

// listen hands what is published on regions to h until ctx ends.
func listen(ctx context.Context, r *events.Redis, node string, regions []location.Region, h events.Handler) error {
	l := r.NewListener(events.ListenerConfig{Name: "lab", Node: node, Handler: h})
	for _, region := range regions {
		l.Follow(events.OldRegionChannel(region))
	}
	return l.Run(ctx)
}

// plain is publish/subscribe as events does it: who listens hears.
type plain struct {
	presence
	redis   *events.Redis
	receive func(message int)
	hears   signal // a subscription is complete
}

func (w *plain) join(ctx context.Context) error {
	w.hears.clear()
	w.start(ctx, func(ctx context.Context) { _ = listen(ctx, w.redis, "patterns-plain", []location.Region{region}, w) })
	return w.hears.await(ctx)
}

func (w *plain) send(ctx context.Context, message int) error {
	return w.redis.Publish(ctx, events.OldRegionChannel(region), events.Message{Topic: "lab", Region: region, Payload: strconv.AppendInt(nil, int64(message), 10)})
}

func (w *plain) OnMessage(m events.Message) {
	if number, err := strconv.Atoi(string(m.Payload)); err == nil {
		w.receive(number)
	}
}

func (w *plain) OnGap(events.Gap) { w.hears.give() }

// numbered is the app's chat: each message is committed with its number and an
// outbox row, which the relay publishes. A receiver that misses a number reads
// the store.
type numbered struct {
	presence
	redis   *events.Redis
	room    *chat.Room
	wake    func() // the relay
	trip    trips.Trip
	receive func(message int)
	hears   signal // a subscription is complete, and what was missed is read

	// Of the goroutine that listens.
	last   uint32 // the number up to which everything was received
	reread int    // messages that came from the store
	known  int    // published messages that the receiver had already
}

func (w *numbered) join(ctx context.Context) error {
	w.hears.clear()
	w.start(ctx, func(ctx context.Context) {
		_ = listen(ctx, w.redis, "patterns-numbered", []location.Region{w.trip.Region}, w)
	})
	return w.hears.await(ctx)
}

func (w *numbered) send(ctx context.Context, message int) error {
	err := sendChat(ctx, w.room, w.trip, message)
	w.wake()
	return err
}

func (w *numbered) OnMessage(m events.Message) {
	var said chat.Message
	if m.Topic != string(trips.TopicChat) || json.Unmarshal(m.Payload, &said) != nil || said.Trip != w.trip.ID {
		return
	}

	switch {
	case said.Seq <= w.last:
		w.known++
	case said.Seq > w.last+1:
		w.readAgain()
	default:
		w.last = said.Seq
		w.receive(int(said.Seq) - 1)
	}
}

// OnGap says that messages may have been missed, the first time because the
// receiver was not there.
func (w *numbered) OnGap(events.Gap) {
	w.readAgain()
	w.hears.give()
}

// readAgain reads from the store what came after the last number.
func (w *numbered) readAgain() {
	missed, err := w.room.History(context.Background(), trips.Driver(w.trip.Driver), w.trip.ID, w.last, math.MaxInt32)
	if err != nil {
		return // the next number shows the gap again
	}
	for _, m := range missed {
		w.last = m.Seq
		w.reread++
		w.receive(int(m.Seq) - 1)
	}
}

// queue is a stream with a consumer group, as settlement uses it.
type queue struct {
	presence
	redis   *events.Redis
	receive func(message int)
	// crashAfter is the job after whose effect the worker dies, before it can
	// acknowledge; -1: it does not.
	crashAfter int
	// handle is what the worker does with a job.
	handle func(ctx context.Context, id string, _ []byte) error

	crashed bool // of the worker's goroutine
}

const queueStream = "lab-patterns"

func (w *queue) join(ctx context.Context) error {
	worker := &events.Worker{Redis: w.redis, Stream: queueStream, Consumer: "lab", Concurrency: 1, Handle: w.handle}
	w.start(ctx, func(ctx context.Context) { _ = worker.Run(ctx) })
	return nil
}

func (w *queue) send(ctx context.Context, message int) error {
	return w.redis.EnqueueJob(ctx, queueStream, strconv.Itoa(message), nil)
}

// doFirst has the effect first and acknowledges by returning no error.
func (w *queue) doFirst(ctx context.Context, id string, _ []byte) error {
	number, err := strconv.Atoi(id)
	if err != nil {
		return err
	}

	w.receive(number)
	if number == w.crashAfter && !w.crashed {
		w.crashed = true
		<-ctx.Done() // its process dies here
		return ctx.Err()
	}
	return nil
}

// direct is a call by RPC that the receiver answers.
type direct struct {
	presence
	routingpbconnect.UnimplementedRoutingHandler
	address string // of a Unix socket: no other program can take it meanwhile
	client  routingpbconnect.RoutingClient
	receive func(message int)
}

// newDirect returns a receiver at the address and its caller.
func newDirect(address string, receive func(int)) (w *direct, closeIdle func()) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}}
	client := routingpbconnect.NewRoutingClient(&http.Client{Transport: transport}, "http://receiver")
	return &direct{address: address, client: client, receive: receive}, transport.CloseIdleConnections
}

func (w *direct) join(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", w.address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(routingpbconnect.NewRoutingHandler(w))
	w.start(ctx, func(ctx context.Context) { _ = httpserver.Run(ctx, l, mux) })
	return nil
}

// callTimeout bounds one call.
const callTimeout = 2 * time.Second

func (w *direct) send(ctx context.Context, message int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := w.client.Snap(ctx, &routingpb.SnapRequest{Point: &routingpb.Point{Lng: float64(message)}})
	return err
}

// Snap receives a call. The message's number travels as a longitude.
func (w *direct) Snap(_ context.Context, r *routingpb.SnapRequest) (*routingpb.SnapResponse, error) {
	w.receive(int(r.GetPoint().GetLng()))
	return &routingpb.SnapResponse{Point: r.GetPoint()}, nil
}

// polling asks the chat's store for what is new, again and again.
type polling struct {
	presence
	room    *chat.Room
	trip    trips.Trip
	every   time.Duration
	receive func(message int)
	// begun is closed when the first message is due. A first interval that began
	// before would flatter polling.
	begun chan struct{}

	// Of the goroutine that polls.
	last  uint32
	polls int
}

func (w *polling) join(ctx context.Context) error {
	w.start(ctx, func(ctx context.Context) {
		select {
		case <-w.begun:
		case <-ctx.Done():
		}
		for sleep.For(ctx, w.every) {
			w.pollOften(ctx)
		}
	})
	return nil
}

func (w *polling) pollOften(ctx context.Context) {
	w.polls++
	found, err := w.room.History(ctx, trips.Driver(w.trip.Driver), w.trip.ID, w.last, math.MaxInt32)
	if err != nil {
		return // the next poll asks for the same
	}
	for _, m := range found {
		w.last = m.Seq
		w.receive(int(m.Seq) - 1)
	}
}

func (w *polling) send(ctx context.Context, message int) error {
	return sendChat(ctx, w.room, w.trip, message)
}

// sendChat commits a message of the trip's rider. Its number is one more than
// the message's, since the store counts from 1.
func sendChat(ctx context.Context, room *chat.Room, t trips.Trip, message int) error {
	text := strconv.Itoa(message)
	_, err := room.Send(ctx, trips.Rider(t.Rider), t.ID, text, text)
	return err
}

// signal says once that something has happened. It holds at most one element.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) give() {
	select {
	case s <- struct{}{}:
	default: // it is there already
	}
}

func (s signal) clear() {
	select {
	case <-s:
	default:
	}
}

var errNoSubscription = errors.New("no subscription came about; is Redis busy with something else?")

func (s signal) await(ctx context.Context) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return errNoSubscription
	}
}
