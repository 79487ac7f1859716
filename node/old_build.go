package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// oldBuilds is what a node does while one of an earlier build is alive. Such a
// node follows the channels of its city's old regions and publishes its trips'
// news and its drivers there, and nowhere else. It expects the same of others.
// All of this can go when no such build runs anywhere.
type oldBuilds struct {
	node     string
	members  *events.Members
	listener follower
	drivers  *sharedstate.Drivers
	regions  []location.Region // of the city
	publish  func(context.Context, []events.Addressed) error
	log      *slog.Logger

	// Of the goroutine in run.
	isFollowing bool                                  // the old regions
	told        map[trips.DriverID]sharedstate.Driver // as they were published
	ticks       int
	failing     bool
}

// How often our drivers are published on the old regions' channels, and after
// how many times all of them, which heals what got lost.
const (
	oldFleetEvery = 200 * time.Millisecond
	oldFleetAll   = 25
)

func (o *oldBuilds) run(ctx context.Context) error {
	tick := time.NewTicker(oldFleetEvery)
	defer tick.Stop()
	for {
		if o.members.HasEarlierBuild() {
			o.follow()
			o.publishDrivers(ctx)
		} else {
			o.unfollow()
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (o *oldBuilds) follow() {
	if o.isFollowing {
		return
	}
	o.log.Info("a node of an earlier build is alive: this node speaks its language too, until it has gone")
	o.isFollowing, o.told = true, map[trips.DriverID]sharedstate.Driver{}
	o.listener.Follow(o.channels()...)
}

func (o *oldBuilds) unfollow() {
	if !o.isFollowing {
		return
	}
	o.log.Info("no node of an earlier build is alive any more")
	o.isFollowing, o.told = false, nil
	o.listener.Unfollow(o.channels()...)
}

func (o *oldBuilds) channels() []events.Channel {
	channels := make([]events.Channel, len(o.regions))
	for i, region := range o.regions {
		channels[i] = events.OldRegionChannel(region)
	}
	return channels
}

// publishDrivers publishes our drivers that changed since the last time, one
// message per old region.
func (o *oldBuilds) publishDrivers(ctx context.Context) {
	if o.ticks++; o.ticks%oldFleetAll == 0 {
		clear(o.told)
	}

	own := o.drivers.DriversOf(o.node, nil)
	changed := slices.DeleteFunc(own, func(d sharedstate.Driver) bool { return o.told[d.ID] == d })
	messages, err := o.encodeFleets(changed)
	if err == nil && len(messages) > 0 {
		err = o.publish(ctx, messages)
	}

	if err == nil {
		for _, d := range changed {
			o.told[d.ID] = d
		}
	} else if !o.failing && ctx.Err() == nil {
		o.log.Warn("nodes of an earlier build do not see our drivers move; trying again", "err", err)
	}
	o.failing = err != nil
}

func (o *oldBuilds) encodeFleets(changed []sharedstate.Driver) (messages []events.Addressed, err error) {
	fleets := map[location.Region]*wire.Fleet{}
	for _, d := range changed {
		region, err := location.OldRegionOf(d.Fix.Point)
		if err != nil || !d.HasPosition() {
			continue
		}
		f := fleets[region]
		if f == nil {
			f = &wire.Fleet{Node: o.node, Region: string(region)}
			fleets[region] = f
		}
		f.Cars = append(f.Cars, encodeCar(d))
	}

	for region, f := range fleets {
		payload, err := wire.Proto.Append(nil, f)
		if err != nil {
			return nil, err
		}
		messages = append(messages, events.Addressed{To: events.OldRegionChannel(region),
			Message: events.Message{Topic: topicFleet, Region: region, Payload: payload}})
	}
	return messages, nil
}
