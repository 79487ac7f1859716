package client_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/wire"
)

// A whole ride: Ada requests a trip, Dayo accepts the offer and drives.
func Example() {
	server, stop := startNode()
	defer stop()

	nodes := client.New(client.Config{Servers: []string{server}, Name: "example/1.0"})
	defer nodes.Close()

	// Callbacks must not block, so they only fill channels.
	offers, events := make(chan *wire.Offer, 1), make(chan *wire.TripEvent, 8)
	positions := make(chan *wire.Position, 1)
	driver := nodes.NewSession(client.SessionConfig{
		Token: nodes.DevTokens(client.RoleDriver, "dayo"),
		OnFrame: func(f *wire.ServerFrame, _ time.Time) {
			if o := f.GetOffer(); o != nil {
				offers <- o
			}
		},
	})

	rider := nodes.NewSession(client.SessionConfig{
		Token: nodes.DevTokens(client.RoleRider, "ada"),
		OnFrame: func(f *wire.ServerFrame, _ time.Time) {
			switch body := f.Body.(type) {
			case *wire.ServerFrame_TripEvent:
				events <- body.TripEvent
			case *wire.ServerFrame_Position:
				select {
				case positions <- body.Position:
				default: // The first one is enough here.
				}
			}
		},
	})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	running.Go(func() { _ = driver.Run(ctx) })
	running.Go(func() { _ = rider.Run(ctx) })

	// Dayo goes on duty and sends the car's position.
	market, stadium := &wire.Point{Lng: 3.384979, Lat: 6.408022}, &wire.Point{Lng: 3.393263, Lat: 6.484199}
	mustDo(ctx, driver, client.NewFrame(&wire.SetAvailable{Available: true}))
	car := new(car)
	car.place.Store(market)
	running.Go(func() { car.sendFixes(ctx, driver) })

	// Ada requests a trip, and Dayo accepts the offer.
	trip := mustDo(ctx, rider, client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: stadium})).Trip
	fmt.Println("ada requests:", trip.State)
	offer := <-offers
	trip = mustDo(ctx, driver, client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true})).Trip
	fmt.Println("dayo accepts:", trip.State)
	fmt.Println("ada sees the car of", (<-positions).DriverId)

	// Dayo drives. The node tells Ada about every change of the trip, in order.
	mustDo(ctx, driver, client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: wire.Step_ARRIVE}))
	mustDo(ctx, driver, client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: wire.Step_START}))
	car.driveTo(stadium)
	mustDo(ctx, driver, client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: wire.Step_COMPLETE}))

	for state := client.StateRequested; client.IsActive(state); {
		e := <-events
		fmt.Println("event", e.Seq, e.Kind)
		state = e.Trip.State
	}

	// Output:
	// ada requests: requested
	// dayo accepts: reserved
	// ada sees the car of dayo
	// event 1 requested
	// event 2 reserved
	// event 3 arrived
	// event 4 on_trip
	// event 5 completed
}

// mustDo sends a command and waits for the answer.
func mustDo(ctx context.Context, s *client.Session, command *wire.ClientFrame) *wire.Ack {
	ack, err := s.Do(ctx, command)
	if err != nil {
		log.Panic(err)
	}
	return ack
}

// car sends a driver's position five times a second. A lost one does not matter,
// because the next one is newer.
type car struct {
	place atomic.Pointer[wire.Point]
	sent  atomic.Uint32
}

func (c *car) sendFixes(ctx context.Context, s *client.Session) {
	for ctx.Err() == nil {
		_ = s.Send(client.NewFrame(&wire.Fix{Seq: c.sent.Load() + 1, AtMs: wire.ToMillis(time.Now()), Point: c.place.Load(), Accuracy: 5}))
		c.sent.Add(1)
		time.Sleep(200 * time.Millisecond)
	}
}

// driveTo goes to a place at once, which a node for tests believes, and returns
// when a fix from there was sent.
func (c *car) driveTo(to *wire.Point) {
	c.place.Store(to)
	for end := c.sent.Load() + 2; c.sent.Load() < end; {
		time.Sleep(10 * time.Millisecond)
	}
}
