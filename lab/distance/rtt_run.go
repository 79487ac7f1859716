package distance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/line"
	"github.com/ridehail/ridehail/wire"
)

// run measures throughput at each distance, then rides.
func (r rtt) run(ctx context.Context, run *finding.Run) (found rttFigures, parts []finding.Part, err error) {
	redisURL, redisName := run.Redis, "Redis"
	if redisURL == "" {
		embedded, err := events.OpenEmbedded()
		if err != nil {
			return found, nil, err
		}
		defer embedded.Close()
		redisURL, redisName = embedded.EmbeddedURL(), "embedded Redis"
	}
	server, err := parseRedis(redisURL)
	if err != nil {
		return found, nil, err
	}

	if found.redis, err = r.askRedis(ctx, run, server); err != nil {
		return found, nil, fmt.Errorf("redis: %w", err)
	}
	parts = append(parts, finding.Part{Name: redisName, Where: server.address, Count: fmt.Sprintf("%d lines", len(found.redis))})

	if run.Database != "" {
		part, err := r.measurePostgres(ctx, run, &found)
		if err != nil {
			return found, nil, err
		}
		parts = append(parts, part)
	}

	ridden, err := r.timeRides(ctx, run, redisURL, &found.ride)
	return found, append(parts, ridden), err
}

// rounds is how often the short distances take turns. The best round counts.
const rounds = 2

// askRedis measures each window at each distance: first the long ones, which
// only wait, side by side, and then the short ones.
func (r rtt) askRedis(ctx context.Context, run *finding.Run, server redisServer) ([]speed, error) {
	all := make([]speed, 0, len(r.roundTrips)*len(r.windows))
	for _, roundTrip := range r.roundTrips {
		for _, window := range r.windows {
			all = append(all, newSpeed("Redis", window, roundTrip, 0))
		}
	}

	measure := func(ctx context.Context, s *speed) error {
		perSecond, err := askAt(ctx, server, s.RoundTrip, s.Window, run.Seed)
		if err == nil && perSecond > s.PerSecond {
			*s = newSpeed(s.Server, s.Window, s.RoundTrip, perSecond)
			run.Point(curveOf(s.Window), s.Millis, perSecond)
		}
		return err
	}

	g, together := errgroup.WithContext(ctx)
	var near []*speed
	for i := range all {
		if s := &all[i]; s.RoundTrip >= cityAway {
			g.Go(func() error { return measure(together, s) })
		} else {
			near = append(near, s)
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	for range rounds {
		for _, s := range near {
			if err := measure(ctx, s); err != nil {
				return nil, err
			}
		}
	}
	return all, r.askAgain(ctx, all, measure)
}

// askAgain measures the long distances again that look as if the machine had no
// time for them. A server that is slow by itself stays slow.
func (r rtt) askAgain(ctx context.Context, all []speed, measure func(context.Context, *speed) error) error {
	const moreRounds, suspicious = 8, 0.75
	for range moreRounds {
		for i := range all {
			if s := &all[i]; s.RoundTrip >= longWay && s.Share < suspicious {
				if err := measure(ctx, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// askAt measures one window at one distance.
func askAt(ctx context.Context, server redisServer, roundTrip time.Duration, window int, seed uint64) (float64, error) {
	l, err := line.Open(server.address, line.OfRoundTrip(roundTrip), seed)
	if err != nil {
		return 0, err
	}
	defer l.Close()

	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	a, err := newAsker(conn, server)
	if err != nil {
		return 0, err
	}
	return a.ask(window, turnsAt(roundTrip))
}

// turnsAt returns how many round trips are measured: two stretches at least,
// and more where they are short.
func turnsAt(roundTrip time.Duration) int {
	spend := 250 * time.Millisecond
	switch {
	case roundTrip == 0:
		return 100
	case roundTrip >= cityAway:
		spend = time.Second
	}
	return max(stretch+2, min(100, int(spend/roundTrip)))
}

// openLineTo opens a line to the server of a URL, and returns the URL with the
// line's address.
func openLineTo(server string, roundTrip time.Duration, seed uint64) (l *line.Line, far string, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, "", err
	}
	if l, err = line.Open(hostPort(u), line.OfRoundTrip(roundTrip), seed); err != nil {
		return nil, "", err
	}

	u.Host = l.Address()
	return l, u.String(), nil
}

// timeRides drives the same ride with phones beside the node and far from it,
// and takes the quickest of each. The node's Redis is far in both.
func (r rtt) timeRides(ctx context.Context, run *finding.Run, redisURL string, found *rideFigures) (part finding.Part, err error) {
	toRedis, farRedis, err := openLineTo(redisURL, cityAway, run.Seed)
	if err != nil {
		return part, err
	}
	defer toRedis.Close()
	c, err := openCity(ctx, farRedis, "")
	if err != nil {
		return part, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()

	found.Rides = r.rides
	if found.Near, err = r.quickestRide(ctx, c, c.url, "near", nil); err != nil {
		return part, err
	}

	toNode, farURL, err := openLineTo(c.url, cityAway, run.Seed)
	if err != nil {
		return part, err
	}
	defer toNode.Close()
	chunks := func() int64 { return toNode.Stats().Up.Chunks }
	before := int64(0)
	if found.Far, err = r.quickestRide(ctx, c, farURL, "far", func() { before = chunks() }); err != nil {
		return part, err
	}
	found.Chunks = chunks() - before
	return finding.Part{Name: "node", Where: c.url, Count: fmt.Sprintf("%d rides", 2*r.rides)}, nil
}

// rideFarFromDatabase returns the time of a ride with a node whose Postgres is
// far.
func (r rtt) rideFarFromDatabase(ctx context.Context, run *finding.Run, database string) (took time.Duration, err error) {
	l, far, err := openLineTo(database, cityAway, run.Seed)
	if err != nil {
		return 0, err
	}
	defer l.Close()

	c, err := openCity(ctx, "", far)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	return r.quickestRide(ctx, c, c.url, "stored", nil)
}

// quickestRide returns the shortest of some rides, from the quote to the ack of
// the last step. The phones reach the node behind a URL. onReady, if set, is
// called before the first ride.
func (r rtt) quickestRide(ctx context.Context, c *city, server, name string, onReady func()) (quickest time.Duration, err error) {
	rider, err := logIn(ctx, server, client.RoleRider, name)
	if err != nil {
		return 0, err
	}
	defer rider.logOut()
	driver, err := logIn(ctx, server, client.RoleDriver, name)
	if err != nil {
		return 0, err
	}
	defer driver.logOut()

	from, to := c.rideEnds()
	if err := driver.goOnDuty(from); err != nil {
		return 0, err
	}
	if onReady != nil {
		onReady()
	}

	quickest = math.MaxInt64
	for i := range r.rides {
		began := time.Now()
		if err := driver.sendFix(uint32(i)+2, from, began); err != nil {
			return 0, err
		}
		trip, err := makeTrip(ctx, rider, driver, from, to)
		if err != nil {
			return 0, err
		}
		for _, s := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
			if err := driver.makeStep(trip.Id, s); err != nil {
				return 0, err
			}
		}
		quickest = min(quickest, time.Since(began))

		// The rider's phone reads what happened, so that its socket stays empty.
		if err := rider.awaitFrame(func(f *wire.ServerFrame) bool { return f.GetTripEvent().GetSeq() == completedAt }); err != nil {
			return 0, err
		}
	}
	return quickest, nil
}
