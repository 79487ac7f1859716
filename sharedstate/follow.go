package sharedstate

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// Follow makes the driver of a trip busy or free, as the trip now stands.
// Events may come late or twice: a trip that has ended is not taken up again,
// and a trip under way takes no step back. It never blocks on anything but a
// lock.
func (d *Drivers) Follow(t trips.Trip) {
	switch {
	case t.Driver == "":
	case t.State == trips.OnTrip:
		d.Assign(t.Driver, t.ID, OnTrip)
	case t.State.IsActive():
		d.Assign(t.Driver, t.ID, Reserved)
	default:
		d.ClearTrip(t.Driver, t.ID)
	}
}

// TripReader is the part of trips.Store that TripFollower reads. Calls may
// block until ctx ends.
type TripReader interface {
	// TripsWithDriver returns every active trip that has a driver.
	TripsWithDriver(ctx context.Context) ([]trips.Trip, error)
	Trip(ctx context.Context, id trips.TripID) (trips.Trip, error)
}

// TripFollower brings Drivers in line with the store after published trip
// events may have been missed. It holds no lock of Drivers while it reads.
type TripFollower struct {
	drivers *Drivers
	store   TripReader
	node    string
	log     *slog.Logger
	gaps    chan struct{} // holds one entry while a gap waits for Run
}

const (
	resyncTimeout = 5 * time.Second
	resyncRetry   = time.Second
)

// NewTripFollower makes a follower for the drivers of a node. A nil log means
// the default one.
func NewTripFollower(drivers *Drivers, store TripReader, node string, log *slog.Logger) *TripFollower {
	if log == nil {
		log = slog.Default()
	}
	return &TripFollower{drivers: drivers, store: store, node: node, log: log, gaps: make(chan struct{}, 1)}
}

// OnGap says that trip events may have been missed. It never blocks, and may be
// called from any goroutine; gaps that come while one waits are one gap.
func (f *TripFollower) OnGap() {
	select {
	case f.gaps <- struct{}{}:
	default:
	}
}

// Run resyncs after each gap until ctx ends. It tries again a second after a
// failure.
func (f *TripFollower) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.gaps:
		}

		err := f.Resync(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}

		f.log.Warn("the drivers' trips cannot be read from the store; trying again", "err", err)
		f.OnGap()

		select {
		case <-ctx.Done():
		case <-time.After(resyncRetry):
		}
	}
}

// Resync reads which trips have a driver and follows them, then follows the
// trips of this node's drivers that are not among them, since these have ended.
// It returns an error if the store cannot be read within five seconds.
func (f *TripFollower) Resync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resyncTimeout)
	defer cancel()

	// A trip that begins after this line costs no read of its own below.
	known := f.drivers.DriversOf(f.node, nil)
	driven, err := f.store.TripsWithDriver(ctx)
	if err != nil {
		return fmt.Errorf("trips under way: %w", err)
	}

	active := make(map[trips.TripID]bool, len(driven))
	for _, t := range driven {
		active[t.ID] = true
		f.drivers.Follow(t)
	}

	for _, d := range known {
		if d.Trip == "" || active[d.Trip] {
			continue
		}
		t, err := f.store.Trip(ctx, d.Trip)
		if err != nil {
			return fmt.Errorf("trip %s: %w", d.Trip, err)
		}
		f.drivers.Follow(t)
	}

	return nil
}
