package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/wire"
)

func TestACommandWithoutAnAckIsSentAgainAndGivenUpInTheEnd(t *testing.T) {
	n := newFakeNode(t)
	s := startSessionAt(t, n, func(_ *Config, session *SessionConfig) {
		session.ResendAfter, session.GiveUpAfter = 20*time.Millisecond, 300*time.Millisecond
	})
	c, _ := n.welcomeNext(&wire.Welcome{})
	answers := doAsync(s, NewFrame(&wire.CancelTrip{TripId: "t"}))

	first := c.nextFrame()
	for range 3 {
		if again := c.nextFrame(); again.Id != first.Id {
			t.Fatalf("ids %q and %q", first.Id, again.Id)
		}
	}

	if a := receiveIn(t, answers, "the end"); !errors.Is(a.err, ErrNoAnswer) || s.UnansweredCommands() != 0 {
		t.Fatal(a.err)
	}
}

func TestAnAckThatSaysTryAgainKeepsTheID(t *testing.T) {
	n := newFakeNode(t)
	s := startSessionAt(t, n, func(_ *Config, session *SessionConfig) { session.ResendAfter = time.Hour })
	c, _ := n.welcomeNext(&wire.Welcome{})
	answers := doAsync(s, NewFrame(&wire.CancelTrip{TripId: "t"}))
	first := c.nextFrame()
	for _, code := range []wire.Code{wire.CodeUnavailable, wire.CodeNoPosition} {
		c.sendAck(&wire.Ack{Id: first.Id, Code: string(code)})
		if again := c.nextFrame(); again.Id != first.Id {
			t.Fatalf("%s: ids %q and %q", code, first.Id, again.Id)
		}
	}
	for range 2 { // to the first and to the second
		c.sendAck(&wire.Ack{Id: first.Id, Code: string(wire.CodeConflict), Message: "it moved"})
	}

	a := receiveIn(t, answers, "the answer")
	refused, ok := errors.AsType[*CommandError](a.err)
	if !ok || refused.Code != wire.CodeConflict || refused.Message != "it moved" || a.ack.GetId() != first.Id {
		t.Fatalf("%+v", a)
	}
}

// The node counts what it reads, by id. The session's own count must agree,
// for each reason of a repeat, and leave out what was never written before.
func TestEveryRepeatOfACommandIsReported(t *testing.T) {
	n := newFakeNode(t)
	var repeats atomic.Int64
	s := startSessionAt(t, n, func(_ *Config, session *SessionConfig) {
		session.ResendAfter = 50 * time.Millisecond
		session.OnRepeat = func(*wire.ClientFrame) { repeats.Add(1) }
	})
	c := n.acceptConn()
	c.nextFrame() // its hello
	early := doAsync(s, NewFrame(&wire.CancelTrip{TripId: "t"}))
	for s.UnansweredCommands() == 0 {
		time.Sleep(time.Millisecond)
	}
	c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: &wire.Welcome{Epoch: "e"}}})
	late := doAsync(s, NewFrame(&wire.Sos{}))

	read := map[string]int{}
	readFrames := func(n int) (last string) {
		for range n {
			last = c.nextFrame().Id
			read[last]++
		}
		return last
	}
	readRest := func() {
		s.Drop()
		for f := range c.frames {
			read[f.Id]++
		}
	}

	last := readFrames(5) // No answer came.
	c.sendAck(&wire.Ack{Id: last, Code: string(wire.CodeUnavailable)})
	readFrames(2) // The answer was "try again".
	readRest()
	c, _ = n.welcomeNext(&wire.Welcome{Recovered: true})
	readFrames(2) // The connection was lost.
	for id := range read {
		c.sendAck(&wire.Ack{Id: id})
	}
	receiveIn(t, early, "the answer")
	receiveIn(t, late, "the answer")
	readRest()

	want := int64(-len(read))
	for _, times := range read {
		want += int64(times)
	}
	for late := time.Now().Add(testTimeout); repeats.Load() < want && time.Now().Before(late); {
		time.Sleep(time.Millisecond) // The last report follows its frame.
	}
	if len(read) != 2 || repeats.Load() != want {
		t.Errorf("%d repeats were reported, and the node read %v", repeats.Load(), read)
	}
}

func TestACommandWithoutAConnectionWaitsForOneUnlessItsContextEnds(t *testing.T) {
	n := newFakeNode(t)
	s := startSessionAt(t, n, nil)
	c := n.acceptConn()
	c.nextFrame() // its hello
	kept := doAsync(s, &wire.ClientFrame{Id: "mine", Body: NewFrame(&wire.SetAvailable{Available: true}).Body})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Do(ctx, NewFrame(&wire.Sos{})); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: &wire.Welcome{Epoch: "e"}}})
	if f := c.nextFrame(); f.Id != "mine" || !f.GetSetAvailable().GetAvailable() {
		t.Fatalf("%v", f)
	}
	c.sendAck(&wire.Ack{Id: "mine"})
	if a := receiveIn(t, kept, "the answer"); a.err != nil {
		t.Fatal(a.err)
	}
}

func TestCommandsThatMustBeTriedAgainSpreadOutAndSlowDown(t *testing.T) {
	c := new(command)
	for _, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		if d := c.retryDelay(); d < limit/4 || d >= limit {
			t.Errorf("after %d tries: %v, at most %v", c.retries, d, limit)
		}
	}

	c.retries = 1 << 20
	if d := c.retryDelay(); d >= maxCommandRetry {
		t.Errorf("%v", d)
	}
}

type answer struct {
	ack *wire.Ack
	err error
}

// doAsync sends a command; its answer comes later.
func doAsync(s *Session, f *wire.ClientFrame) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		a, err := s.Do(context.Background(), f)
		answers <- answer{a, err}
	}()
	return answers
}

// The node of the next connection may not know where the car is.
func TestTheLastFixGoesBeforeAStepThatIsSentAgain(t *testing.T) {
	n := newFakeNode(t)
	welcomes, repeats := make(chan bool, 2), make(chan *wire.ClientFrame, 3)
	s := startSessionAt(t, n, func(_ *Config, session *SessionConfig) {
		session.ResendAfter = time.Hour
		session.OnWelcome = func(_ *wire.Welcome, resumed bool) { welcomes <- resumed }
		session.OnRepeat = func(f *wire.ClientFrame) { repeats <- f }
	})
	c, _ := n.welcomeNext(&wire.Welcome{})
	receiveIn(t, welcomes, "the welcome")
	for seq := range uint32(2) {
		if err := s.Send(NewFrame(&wire.Fix{Seq: seq + 1})); err != nil {
			t.Fatal(err)
		}
		c.nextFrame()
	}
	doAsync(s, NewFrame(&wire.SendChat{TripId: "t"}))
	chat := c.nextFrame()
	doAsync(s, NewFrame(&wire.MoveTrip{TripId: "t", Step: wire.Step_ARRIVE}))
	step := c.nextFrame()
	s.Drop()

	c, _ = n.welcomeNext(&wire.Welcome{})
	if fix := c.nextFrame(); fix.GetFix().GetSeq() != 2 {
		t.Errorf("the first frame is %v", fix)
	}
	if f := receiveIn(t, repeats, "the fix again"); f.GetFix().GetSeq() != 2 {
		t.Errorf("reported as written again: %v", f)
	}
	for _, want := range []string{chat.Id, step.Id} {
		if again := c.nextFrame(); again.Id != want {
			t.Errorf("sent again is %v, want %s", again, want)
		}
	}
}

// A node of an earlier build refuses the field, so that it is sent only to one
// that asks for it. A repeat has a time of its own.
func TestCommandsAndAcksSayWhenTheyWereSentToANodeThatAsks(t *testing.T) {
	for name, codec := range map[string]wire.Codec{"proto": wire.Proto, "json": wire.JSON} {
		n := newFakeNode(t)
		s := startSessionAt(t, n, func(c *Config, session *SessionConfig) {
			c.Codec, session.ResendAfter = codec, 20*time.Millisecond
		})
		old, _ := n.welcomeNext(&wire.Welcome{})
		command := NewFrame(&wire.CancelTrip{TripId: "t"})
		answers := doAsync(s, command)
		if f := old.nextFrame(); f.SentMs != 0 {
			t.Errorf("%s: a node that did not ask got %v", name, f)
		}

		_ = old.ws.Close()
		began := wire.ToMillis(time.Now())
		asks, _ := n.welcomeNext(&wire.Welcome{WantsSentMs: true})
		first, again := asks.nextFrame(), asks.nextFrame()
		if first.Id != again.Id || first.SentMs < began || again.SentMs <= first.SentMs || again.GetCancelTrip().GetTripId() != "t" {
			t.Errorf("%s: after %v came %v, then %v", name, began, first, again)
		}
		asks.sendAck(&wire.Ack{Id: first.Id})
		receiveIn(t, answers, "the answer")
		if command.SentMs != 0 {
			t.Errorf("%s: the caller's frame was changed: %v", name, command)
		}

		asks.send(&wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{N: 2}}})
		if err := s.Send(NewFrame(&wire.Fix{Seq: 1, AtMs: 5})); err != nil {
			t.Fatal(err)
		}
		var acked, fixed bool
		for !acked || !fixed {
			switch f := asks.nextFrame(); {
			case f.GetPositionAck() != nil:
				acked = f.SentMs >= again.SentMs
			case f.GetFix() != nil:
				fixed = f.SentMs == 0 // it has its own time
			}
		}
	}
}
