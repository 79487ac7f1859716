package simulators

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/simulators/trace"
	"github.com/ridehail/ridehail/wire"
)

// ReplayConfig describes the replay of a recorded fleet.
type ReplayConfig struct {
	Server string        // http://HOST:PORT, or several with commas between
	Spread bool          // each phone begins at a node drawn by the seed, not at the first
	City   *routing.City // the node's; nil: it is not compared
	Trace  trace.Trace
	Speed  float64      // seconds of the recording per second; 0 means the node's
	Hidden bool         // the cars get no offers, and riders do not see them
	Flaky  bool         // phones lose their connection every 30 s on average
	Seed   uint64       // of the losses
	Codec  wire.Codec   // nil means wire.Proto
	Stats  *Stats       // nil for none
	Log    *slog.Logger // nil for none
	// nil for none
	Journal *journal.Journal
}

// ReplayDrivers sends every fix of a recording at its time, counted from the
// recording's first fix. It returns nil after the last one or when the context
// ends. Every car is a driver with its own socket, from its first fix to its
// last. A recorded car cannot drive a rider, so it declines every offer; a
// hidden one is not available. A fix that is due while its car has no
// connection is never sent. Errors: as RunDrivers.
func ReplayDrivers(ctx context.Context, cfg ReplayConfig) (err error) {
	if cfg.Stats == nil {
		cfg.Stats = NewStats()
	}
	if len(cfg.Trace.Cars) == 0 || !(cfg.Speed >= 0) {
		return errors.New("a replay needs a recording with a fix, and no negative speed")
	}

	net := newNetwork(cfg.Server, cfg.Codec, cfg.Stats, cfg.Log)
	net.journal = cfg.Journal
	defer net.close()

	if cfg.Flaky {
		net.makeFlaky(cfg.Seed, flakyDropMean)
	}
	if cfg.Spread {
		net.spreadPhones(cfg.Seed)
	}
	if cfg.Speed, err = net.joinCity(ctx, client.RoleDriver, cfg.Trace.Cars[0].ID, cfg.City, cfg.Speed); err != nil {
		return unlessEnded(ctx, err)
	}

	began := time.Now().Add(replayLead)
	return runAll(ctx, len(cfg.Trace.Cars), func(i int) error {
		car := &recordedCar{network: net, fixes: cfg.Trace.Cars[i].Fixes, began: began, speed: cfg.Speed, hidden: cfg.Hidden}
		return car.replayFixes(ctx, cfg.Trace.Cars[i].ID, i)
	})
}

// replayLead is how long before its first fix a car connects, and how long
// after its last fix it disconnects: a connection closed at once may lose the
// fix.
const replayLead = time.Second

// recordedCar sends the fixes of one recorded car. One goroutine owns it.
type recordedCar struct {
	// Fixed at creation.
	network *network
	phone   *phone
	began   time.Time // when the recording's first fix is due
	speed   float64
	hidden  bool

	fixes    []trace.Fix // not sent yet
	seq      uint32
	last     time.Time // when the last fix was sent
	welcomed bool
}

// replayFixes connects the car, sends its fixes and disconnects it.
func (r *recordedCar) replayFixes(ctx context.Context, id string, stripe int) error {
	if !sleep.For(ctx, time.Until(r.dueTime(r.fixes[0]))-replayLead) {
		return nil
	}
	r.phone = r.network.startPhone(ctx, client.RoleDriver, id, stripe)
	defer r.phone.stop()

	err := runActor(ctx, r.phone, r)
	if err != nil {
		r.network.log.Warn("a recorded car stays away", "driver", id, "err", err)
	}
	return err
}

// dueTime returns when a fix is to be sent.
func (r *recordedCar) dueTime(f trace.Fix) time.Time {
	return r.began.Add(time.Duration(float64(f.At) / r.speed))
}

func (r *recordedCar) handleFrame(f *wire.ServerFrame, now time.Time) {
	switch b := f.Body.(type) {
	case *wire.ServerFrame_Welcome:
		r.welcomed = true
		r.phone.sendCommand(client.NewFrame(&wire.SetAvailable{Available: !r.hidden}))
	case *wire.ServerFrame_Offer:
		r.network.stats.offers.Add(1)
		r.network.stats.declined.Add(1)
		r.phone.sendCommand(client.NewFrame(&wire.AnswerOffer{OfferId: b.Offer.Id}))
	}
}

// doDueActions sends the newest fix that is due and skips the older ones.
func (r *recordedCar) doDueActions(_ context.Context, now time.Time) (time.Time, bool) {
	if !r.welcomed {
		return time.Time{}, now.After(r.dueTime(r.fixes[len(r.fixes)-1]).Add(startTimeout))
	}

	n, _ := slices.BinarySearchFunc(r.fixes, now, func(f trace.Fix, t time.Time) int {
		if r.dueTime(f).After(t) {
			return 1
		}
		return -1
	})
	if n > 0 {
		r.sendFix(r.fixes[n-1])
		r.fixes = r.fixes[n:]
	}
	if len(r.fixes) > 0 {
		return r.dueTime(r.fixes[0]), false
	}
	late := now.Sub(r.last)
	return r.last.Add(replayLead), late >= startTimeout || late >= replayLead && !r.phone.hasUnanswered()
}

// sendFix sends a fix. Its time is the recorded one, moved by the same shift
// for all cars.
func (r *recordedCar) sendFix(f trace.Fix) {
	r.seq, r.last = r.seq+1, time.Now()
	fix := &wire.Fix{Seq: r.seq, AtMs: wire.ToMillis(r.dueTime(f)), Point: wirePoint(f.Point), Heading: f.Heading,
		Speed: f.Speed * float32(r.speed), Accuracy: fixAccuracy}
	if r.phone.sendFrame(client.NewFrame(fix)) {
		r.network.stats.fixesSent.Add(1)
	}
}
