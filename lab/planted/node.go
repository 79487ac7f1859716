package planted

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// command is what a phone asks a node for.
type command struct {
	Who  trips.Actor
	ID   string
	Kind string // as in a journal
	Trip trips.TripID

	asks string // in a history; empty: its step is told in another way
}

func (c command) key() trips.IdempotencyKey {
	return trips.IdempotencyKey{Actor: c.Who, ID: c.ID, Fingerprint: c.Kind}
}

// errNoAnswer says that a phone was never told what became of its command.
var errNoAnswer = errors.New("no answer")

var (
	marina = location.Point{Lng: 3.39, Lat: 6.45}
	quay   = location.Point{Lng: 3.42, Lat: 6.44}
	quote  = trips.Quote{Metres: 4_000, Duration: 9 * time.Minute, Source: "road", Fare: trips.Money{Minor: 150_000, Currency: "NGN"}}
)

// carryOut gives a command to the trip service.
func carryOut(ctx context.Context, service *trips.Service, c command) (trips.Event, error) {
	if c.Kind == journal.Request {
		return service.RequestTrip(ctx, c.key(), trips.RiderID(c.Who.ID), marina, quay, quote)
	}

	return service.Apply(ctx, c.key(), c.Trip, func(t trips.Trip, at time.Time) (trips.Event, error) {
		step := trips.Step{Car: &trips.CarFix{Point: marina, Accuracy: 5, Age: time.Second}}
		switch c.Kind {
		case journal.Accept:
			return t.Reserve(trips.DriverID(c.Who.ID), at)
		case journal.Arrive:
			step.Kind = trips.KindArrived
		case journal.Start:
			step.Kind = trips.KindOnTrip
		default:
			step.Kind, step.Car.Point = trips.KindCompleted, quay
		}
		return t.MakeStep(step, c.Who, at)
	})
}

// ready is what a node has got when it has opened its file.
const ready = "ready"

// reply is one line of a node in a process of its own. It first says that it
// got a command, and then what became of it.
type reply struct {
	ID    string // of the command, or ready
	Got   bool
	Event *trips.Event
	Error string
}

// ServeNode is a node in a process of its own, which can be killed: the real
// store on a SQLite file and the real trip service. It carries out commands, a
// JSON object each, until in ends.
func ServeNode(ctx context.Context, file string, in io.Reader, out io.Writer) (err error) {
	kept, closeStore, err := store.Open(ctx, file, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()

	service := &trips.Service{Store: kept, Now: time.Now}
	commands, answers := json.NewDecoder(in), json.NewEncoder(out)
	if err := answers.Encode(reply{ID: ready}); err != nil {
		return err
	}
	for {
		var c command
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}

		if err := answers.Encode(reply{ID: c.ID, Got: true}); err != nil {
			return err
		}
		ev, err := carryOut(ctx, service, c)
		r := reply{ID: c.ID, Event: &ev}
		if err != nil {
			r = reply{ID: c.ID, Error: err.Error()}
		}
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
}

// childNode is a running ServeNode.
type childNode struct {
	process *exec.Cmd
	in      io.WriteCloser
	replies chan reply // closed when the process's output ends
}

// startNode starts a process that calls ServeNode for the file, and waits until
// it is ready.
func startNode(start func(file string) *exec.Cmd, file string) (*childNode, error) {
	c := &childNode{process: start(file), replies: make(chan reply, 2)}
	c.process.Stderr = os.Stderr

	var err error
	if c.in, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.process.Start(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}

	go func() {
		defer close(c.replies)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var r reply
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				return
			}
			c.replies <- r
		}
	}()

	if r := <-c.replies; r.ID != ready {
		c.kill()
		return nil, errors.New("the node's process ended before it was ready")
	}
	return c, nil
}

// doCommand gives the node a command and waits for the answer at most that
// long. onGot is called when the node has the command.
func (c *childNode) doCommand(ctx context.Context, cmd command, within time.Duration, onGot func()) (trips.Event, error) {
	if err := json.NewEncoder(c.in).Encode(cmd); err != nil {
		return trips.Event{}, errNoAnswer
	}

	late := time.NewTimer(within)
	defer late.Stop()
	for {
		select {
		case r, open := <-c.replies:
			switch {
			case !open:
				return trips.Event{}, errNoAnswer
			case r.ID != cmd.ID: // the answer to one before, which came too late
			case r.Got:
				onGot()
			case r.Error != "":
				return trips.Event{}, errors.New(r.Error)
			default:
				return *r.Event, nil
			}
		case <-late.C:
			return trips.Event{}, errNoAnswer
		case <-ctx.Done():
			return trips.Event{}, ctx.Err()
		}
	}
}

// kill ends the process with SIGKILL and waits for its end.
func (c *childNode) kill() {
	_ = c.process.Process.Kill()
	c.wait()
}

// stop lets the process end by itself and waits for that.
func (c *childNode) stop() {
	_ = c.in.Close()
	c.wait()
}

func (c *childNode) wait() {
	for range c.replies { // what it said last; the pipe is read to its end
	}
	_ = c.process.Wait()
}
