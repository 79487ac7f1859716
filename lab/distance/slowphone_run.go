package distance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/latency/relay"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// run lets a car drive for a while. Its positions go to two slow phones: by the
// app's node, and by a relay that writes each one.
func (s slowPhone) run(ctx context.Context, run *finding.Run) (found slowPhoneFigures, parts []finding.Part, err error) {
	c, err := openCity(ctx, "", "")
	if err != nil {
		return found, nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()

	from, to := c.rideEnds()
	d, err := startDrive(ctx, s, run, c, from, to)
	defer d.close()
	if err != nil {
		return found, nil, err
	}

	if found, err = d.driveCar(ctx); err != nil {
		return found, nil, err
	}
	parts = []finding.Part{
		{Name: "node", Where: c.url, Count: fmt.Sprintf("%d positions, %d chats", found.newest.Sent, s.chats)},
		{Name: "relay", Where: d.relay.Addr().String(), Count: fmt.Sprintf("%d positions", found.queue.Sent)},
	}
	return found, parts, nil
}

// drive is a ride under way, and the same car at a relay.
type drive struct {
	slowPhone
	run           *finding.Run
	relay         net.Listener
	rider, driver *person
	trip          string
	at            location.Point // where the car starts

	queued  struct{ rider, driver *client.Conn } // at the relay, which has no protocol
	closers []func()
}

// startDrive brings a rider and a driver on a trip. The caller closes the
// drive, also beside an error.
func startDrive(ctx context.Context, s slowPhone, run *finding.Run, c *city, from, to location.Point) (d *drive, err error) {
	d = &drive{slowPhone: s, run: run, at: from}
	if err := d.openRelay(ctx); err != nil {
		return d, err
	}

	if d.rider, err = logIn(ctx, c.url, client.RoleRider, "slow"); err != nil {
		return d, err
	}
	d.closers = append(d.closers, d.rider.logOut)
	if d.driver, err = logIn(ctx, c.url, client.RoleDriver, "steady"); err != nil {
		return d, err
	}
	d.closers = append(d.closers, d.driver.logOut)

	if err := d.driver.goOnDuty(from); err != nil {
		return d, err
	}
	trip, err := makeTrip(ctx, d.rider, d.driver, from, to)
	if err != nil {
		return d, err
	}
	d.trip = trip.Id
	return d, errors.Join(d.driver.makeStep(trip.Id, wire.Step_ARRIVE), d.driver.makeStep(trip.Id, wire.Step_START))
}

// serveRelay starts a bare relay, which writes each message it reads.
func serveRelay() (listener net.Listener, stop func(), err error) {
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: relay.New().Handler(), ReadHeaderTimeout: answerWithin}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is closed
	}()
	return listener, func() { _ = server.Close(); <-served }, nil
}

func (d *drive) openRelay(ctx context.Context) error {
	listener, stop, err := serveRelay()
	if err != nil {
		return err
	}
	d.relay, d.closers = listener, append(d.closers, stop)

	if d.queued.rider, err = d.dialRelay(ctx, "/rider"); err != nil {
		return err
	}
	d.queued.driver, err = d.dialRelay(ctx, "/driver")
	return err
}

func (d *drive) dialRelay(ctx context.Context, path string) (*client.Conn, error) {
	conn, err := client.New(client.Config{Name: "lab", Silence: -1}).DialURL(ctx, "ws://"+d.relay.Addr().String()+path+"?id=1")
	if err != nil {
		return nil, err
	}
	unwatch := context.AfterFunc(ctx, conn.Drop)
	d.closers = append(d.closers, func() { unwatch(); conn.Drop() })
	return conn, nil
}

// close ends the last that was opened first.
func (d *drive) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
}

// driveCar sends positions and chat until the time is over, and returns what
// the phones have shown by then.
func (d *drive) driveCar(ctx context.Context) (found slowPhoneFigures, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	began := time.Now()
	var phones sync.WaitGroup
	var riderErr error
	phones.Go(func() { riderErr = d.showNewest(ctx, began, &found) })
	phones.Go(func() { d.showQueue(ctx, began, &found.queue) })
	phones.Go(func() { d.takeBrokenChat(ctx, began, &found.brokenChat) })

	sent, err := d.sendAll(ctx, began)
	d.queued.rider.Drop() // what it has not shown by now still waits
	if err != nil {
		cancel()
		d.rider.Drop()
	}

	phones.Wait()
	found.queue.Sent, found.newest.Sent = sent, sent
	return found, errors.Join(err, riderErr)
}

// sendAll is the driver's phone. It returns how many positions it has sent.
func (d *drive) sendAll(ctx context.Context, began time.Time) (sent int64, err error) {
	const metresPerSecond = 5
	total, chats := int64(d.rate*d.lasts.Seconds()), 0
	for sent < total {
		after := time.Duration(float64(sent) / d.rate * float64(time.Second))
		if !sleep.Until(ctx, began.Add(after)) {
			return sent, ctx.Err()
		}

		sent++
		at := d.at
		at.Lat += metresPerSecond * degreesPerMetre * after.Seconds()
		due, seq := began.Add(after), uint32(sent)+1 // the first came with the duty
		fix := client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(due), Point: encodePoint(at), Speed: metresPerSecond, Accuracy: 5})
		if err := errors.Join(d.driver.Send(fix), d.queued.driver.Send(fix)); err != nil {
			return sent, err
		}

		for ; int64(chats)*total < int64(d.chats)*sent; chats++ {
			message := client.NewFrame(&wire.SendChat{TripId: d.trip, Text: fmt.Sprintf("message %d", chats+1)})
			message.Id = fmt.Sprintf("chat-%d", chats)
			if err := d.driver.Send(message); err != nil {
				return sent, err
			}
		}
	}
	return sent, d.driver.makeStep(d.trip, wire.Step_COMPLETE)
}

// showNext takes the time that the phone needs for one position.
func (d *drive) showNext(ctx context.Context) bool {
	return sleep.For(ctx, time.Duration(float64(time.Second)/d.shows))
}

// recordShown notes a position that the phone has shown.
func (d *drive) recordShown(curve string, began, due time.Time, to *positions) {
	now := time.Now()
	s := shown{at: now.Sub(began).Seconds(), age: now.Sub(due).Seconds()}
	to.shown = append(to.shown, s)
	d.run.Point(curve, s.at, s.age)
}

// showNewest is the rider's phone at the node. It reads until the ride is over
// and all chat is there.
func (d *drive) showNewest(ctx context.Context, began time.Time, found *slowPhoneFigures) error {
	events, chat := numbers{}, numbers{}
	defer func() {
		found.events, found.chat = events.countNumbers(completedAt), chat.countNumbers(d.chats)
	}()

	return d.rider.awaitFrame(func(f *wire.ServerFrame) bool {
		switch {
		case f.GetPosition() != nil:
			p := f.GetPosition()
			due := wire.FromMillis(p.AtMs)
			if !due.Before(began) && d.showNext(ctx) && time.Since(began) <= d.lasts {
				d.recordShown(curveNewest, began, due, &found.newest)
				found.newest.Overwritten = int64(p.Overwritten)
			}
			_ = d.rider.Send(client.NewFrame(&wire.PositionAck{N: p.N})) // if this fails, so does the next read
		case f.GetChat() != nil:
			chat.noteNumber(f.GetChat().Seq)
		case f.GetTripEvent() != nil:
			events.noteNumber(f.GetTripEvent().Seq)
		}
		return events.hasNumber(completedAt) && len(chat) >= d.chats
	})
}

// numbers counts how often each number came.
type numbers map[uint32]int

func (n numbers) noteNumber(seq uint32)     { n[seq]++ }
func (n numbers) hasNumber(seq uint32) bool { return n[seq] > 0 }

// countNumbers compares with the numbers 1 to sent.
func (n numbers) countNumbers(sent int) (c numbered) {
	c.Sent = sent
	for seq := range uint32(sent) {
		switch came := n[seq+1]; {
		case came == 0:
			c.Lost++
		case came > 1:
			c.Twice += came - 1
		}
	}
	return c
}

// showQueue is the same phone at the relay, until its socket ends. It shows
// every position.
func (d *drive) showQueue(ctx context.Context, began time.Time, to *positions) {
	var f wire.ClientFrame // the relay passes on what the driver sent
	for {
		if _, err := d.queued.rider.ReadFrame(&f); err != nil || !d.showNext(ctx) || time.Since(began) > d.lasts {
			return
		}
		d.recordShown(curveQueue, began, wire.FromMillis(f.GetFix().GetAtMs()), to)
	}
}

// takeBrokenChat counts what is left of the same chat if the newest message
// overwrites the others and the phone looks each time it has shown a position.
func (d *drive) takeBrokenChat(ctx context.Context, began time.Time, to *numbered) {
	var slot broken.NewestWins[uint32]
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range d.chats {
			due := began.Add(time.Duration(i) * d.lasts / time.Duration(d.chats))
			if !sleep.Until(ctx, due) {
				return
			}
			slot.Put(uint32(i) + 1)
		}
	})

	got := numbers{}
	for time.Since(began) < d.lasts && d.showNext(ctx) {
		if seq, ok := slot.Take(); ok {
			got.noteNumber(seq)
		}
	}
	writing.Wait()

	if seq, ok := slot.Take(); ok {
		got.noteNumber(seq)
	}
	*to = got.countNumbers(d.chats)
}
