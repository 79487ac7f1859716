package distance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/latency"
	"github.com/ridehail/ridehail/lab/line"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// chatServer keeps the chat of a trip in a file. A crash loses all but the
// file.
type chatServer struct {
	file   string
	room   chat.Room
	kept   store.Store
	close  func() error
	memory broken.IDsInMemory
}

func (s *chatServer) startServer(ctx context.Context) (err error) {
	if s.kept, s.close, err = store.Open(ctx, s.file, store.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		s.close = func() error { return nil } // it is closed already
		return err
	}
	s.room = chat.Room{Store: s.kept, Trips: s.kept, Now: time.Now}
	s.memory = broken.IDsInMemory{}
	return nil
}

// crashServer ends the server and starts it again with what the file has.
func (s *chatServer) crashServer(ctx context.Context) error {
	if err := s.close(); err != nil {
		return err
	}
	return s.startServer(ctx)
}

// openTrip makes a trip whose two people may write to each other.
func (s *chatServer) openTrip(ctx context.Context, rider, driver trips.Actor) (trips.TripID, error) {
	service := trips.Service{Store: s.kept, Now: time.Now}
	from, to := location.Point{Lng: 3.39, Lat: 6.45}, location.Point{Lng: 3.42, Lat: 6.44}
	quote := trips.Quote{Metres: 4000, Duration: 9 * time.Minute, Source: "road", Fare: trips.Money{Minor: 150_000, Currency: "NGN"}}

	ev, err := service.RequestTrip(ctx, trips.IdempotencyKey{Actor: rider, ID: "request", Fingerprint: "request"}, trips.RiderID(rider.ID), from, to, quote)
	if err != nil {
		return "", err
	}

	_, err = service.Apply(ctx, trips.IdempotencyKey{Actor: driver, ID: "accept", Fingerprint: "accept"}, ev.Trip.ID,
		func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve(trips.DriverID(driver.ID), at) })
	return ev.Trip.ID, err
}

// tryWay sends the messages of one way, with each kind of fault in turn.
func (l loss) tryWay(ctx context.Context, run *finding.Run, w way, found *[faults]outcome) (err error) {
	file, err := scratch.Create(ctx, "")
	if err != nil {
		return err
	}
	s := &chatServer{file: file.URL}
	err = s.startServer(ctx)
	defer func() { err = errors.Join(err, s.close(), file.Close()) }()
	if err != nil {
		return err
	}

	missing, extra := 0, 0
	for f := range faults {
		p := &phone{loss: l, way: w, fault: f, server: s, chance: rand.New(rand.NewPCG(run.Seed, uint64(f)))}
		if found[f], err = p.sendAll(ctx); err != nil {
			return err
		}
		missing, extra = missing+found[f].Missing, extra+found[f].Extra
		run.Point(barsMissing, float64(2*w), float64(missing))
		run.Point(barsExtra, float64(2*w)+1, float64(extra))
	}
	return nil
}

// phone sends messages to a server, with faults of one kind on the way.
type phone struct {
	loss
	way    way
	fault  fault
	server *chatServer
	chance *rand.Rand

	trip  trips.TripID
	from  trips.Actor
	found outcome
}

// faultStrikes says whether a fault happens now.
func (p *phone) faultStrikes(f fault) bool {
	if f != p.fault || 100*p.chance.Float64() >= p.percent {
		return false
	}
	p.found.Faults++
	return true
}

// sendAll sends all messages and counts their effects in the store.
func (p *phone) sendAll(ctx context.Context) (outcome, error) {
	p.found = outcome{Way: p.way.String(), Fault: p.fault.String(), Commands: p.commands}
	p.from = trips.Driver(trips.DriverID(fmt.Sprintf("chidi-%d", p.fault)))
	var err error
	if p.trip, err = p.server.openTrip(ctx, trips.Rider(trips.RiderID(fmt.Sprintf("ada-%d", p.fault))), p.from); err != nil {
		return p.found, err
	}

	acked := map[string]bool{}
	for i := range p.commands {
		text := fmt.Sprintf("message %d", i)
		ok, err := p.sendMessage(ctx, text)
		if err != nil {
			return p.found, err
		}
		if ok {
			acked[text] = true
		}
	}
	return p.found, p.countEffects(ctx, acked)
}

// sendMessage tries a message until it is answered or the phone gives up.
func (p *phone) sendMessage(ctx context.Context, text string) (acked bool, err error) {
	tries := 1 + p.retries
	if p.way == neverAgain {
		tries = 1
	}

	for range tries {
		if p.faultStrikes(lostRequest) {
			continue
		}
		p.found.Arrivals++
		if err := p.carryOut(ctx, text); err != nil {
			return false, err
		}

		if p.faultStrikes(crashBetween) {
			if err := p.server.crashServer(ctx); err != nil {
				return false, err
			}
			continue
		}
		if !p.faultStrikes(lostAnswer) {
			return true, nil
		}
	}
	return false, nil
}

// carryOut is the server's part of a try. The text names the message, and so is
// its id.
func (p *phone) carryOut(ctx context.Context, text string) error {
	keep := func(id string) error {
		_, err := p.server.room.Send(ctx, p.from, p.trip, id, text)
		return err
	}

	switch p.way {
	case idInStore:
		return keep(text)
	case idInMemory:
		return p.server.memory.Once(string(p.trip)+text, func() error { return keep(broken.NewIDForEachTry()) })
	}
	return keep(broken.NewIDForEachTry())
}

// countEffects reads what the store has.
func (p *phone) countEffects(ctx context.Context, acked map[string]bool) error {
	came := map[string]int{}
	for after := uint32(0); ; {
		page, err := p.server.room.History(ctx, p.from, p.trip, after, 100)
		if err != nil {
			return err
		}
		for _, m := range page {
			came[m.Text]++
			after = m.Seq
			p.found.Effects++
		}
		if len(page) == 0 {
			break
		}
	}

	p.found.Acked, p.found.Missing = len(acked), p.commands-len(came)
	p.found.Extra = p.found.Effects - len(came)
	for _, times := range came {
		if times == 1 {
			p.found.Once++
		}
	}
	for text := range acked {
		if came[text] == 0 {
			p.found.Unkept++
		}
	}
	return nil
}

const (
	tcpPairs  = 30
	tcpRate   = 10 // positions a second of each pair
	tcpLasts  = 1500 * time.Millisecond
	tcpWarmup = 200 * time.Millisecond
)

// loseInTCP sends positions over lines that lose packets, through a bare relay
// for each.
func (l loss) loseInTCP(ctx context.Context, run *finding.Run) (all []tcpFigures, relayAt string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	all = make([]tcpFigures, len(tcpLosses))
	for i, percent := range tcpLosses {
		listener, closeRelay, err := serveRelay()
		if err != nil {
			return nil, "", errors.Join(err, g.Wait())
		}

		relayAt = listener.Addr().String()
		g.Go(func() error {
			defer closeRelay()
			all[i], err = l.loseAt(ctx, run.Seed, "http://"+listener.Addr().String(), percent)
			return err
		})
	}
	return all, relayAt, g.Wait()
}

func (l loss) loseAt(ctx context.Context, seed uint64, server string, percent float64) (tcpFigures, error) {
	r, err := latency.Run(ctx, latency.Config{Server: server, Bare: true, Pairs: tcpPairs, Rate: tcpRate, For: tcpLasts, Warmup: tcpWarmup,
		Line: &line.Spec{Delay: l.delay, Loss: percent}, LineSeed: seed, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return tcpFigures{}, err
	}
	return tcpFigures{Loss: percent, Sent: r.Sent, Lost: r.Lost, Resent: r.Line.Up.Lost + r.Line.Down.Lost, P50: r.Latency.P50, P99: r.Latency.P99}, nil
}
