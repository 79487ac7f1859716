package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/wire"
)

const (
	resendAfter     = 4 * time.Second  // default of SessionConfig.ResendAfter
	giveUpAfter     = 60 * time.Second // default of SessionConfig.GiveUpAfter
	maxCommandRetry = 4 * time.Second  // after acks that say "try again"
)

// The errors of commands without an answer. The node may have carried out the
// command or not.
var (
	ErrNoAnswer = errors.New("the node never answered")
	ErrEnded    = errors.New("the session ended before an answer")
)

// CommandError is a node's refusal of a command.
type CommandError struct {
	Code    wire.Code
	Message string // an explanation for a person
}

func (e *CommandError) Error() string { return string(e.Code) + ": " + e.Message }

// command is sent until a node answers it.
type command struct {
	// Fixed at creation.
	frame     *wire.ClientFrame
	done      func(*wire.Ack, error)
	startedAt time.Time

	written atomic.Bool // to a connection, at least once

	// Guarded by Session.mu.
	resendAt time.Time
	retries  int // acks that said "try again"
}

// retryDelay returns the wait after an ack that says "try again": at most 1 s,
// doubling to 4 s, and random so that many clients do not retry together.
func (c *command) retryDelay() time.Duration {
	limit := min(maxCommandRetry, time.Second<<min(c.retries, 10))
	c.retries++
	return limit/4 + rand.N(limit*3/4)
}

// Do sends a command and waits for the node's answer, over as many connections
// as that takes. A refusal returns the ack together with a *CommandError. Other
// errors: ErrNoAnswer after SessionConfig.GiveUpAfter, ErrEnded when Run has
// ended, or that of ctx. After those the node may have carried out the command
// or not. Do may be called from any goroutine, but not from a callback of the
// session, which would wait for itself.
func (s *Session) Do(ctx context.Context, f *wire.ClientFrame) (*wire.Ack, error) {
	type answer struct {
		ack *wire.Ack
		err error
	}
	answers := make(chan answer, 1)
	id := s.StartCommand(f, func(a *wire.Ack, err error) { answers <- answer{a, err} })
	select {
	case a := <-answers:
		if a.err == nil && a.ack.Code != "" {
			a.err = &CommandError{wire.Code(a.ack.Code), a.ack.Message}
		}
		return a.ack, a.err
	case <-ctx.Done():
		s.takeCommand(id)
		return nil, fmt.Errorf("wait for an answer: %w", ctx.Err())
	}
}

// StartCommand is Do without the wait. It sends the command as soon as there is
// a connection, and again under the same id until a node answers. It returns
// the id: f.Id, or a new one when that is empty. f must not change afterwards.
//
// done is called once, with the final answer (also one that refuses) or with
// ErrNoAnswer or ErrEnded. It runs on Run's goroutine, on a timer's goroutine,
// or before StartCommand returns when the session has ended. It must not block:
// the session may read no frame meanwhile.
func (s *Session) StartCommand(f *wire.ClientFrame, done func(*wire.Ack, error)) (id string) {
	f.Id = cmp.Or(f.Id, uuid.NewString())
	now := time.Now()

	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		done(nil, ErrEnded)
		return f.Id
	}

	c := &command{frame: f, done: done, startedAt: now, resendAt: now.Add(s.cfg.ResendAfter)}
	s.pending = append(s.pending, c)
	s.setTimerLocked(now)
	s.mu.Unlock()

	s.writeCommand(c) // If this fails, it is sent after the next welcome.
	return f.Id
}

// writeCommand writes a command if there is a connection, and reports a repeat.
func (s *Session) writeCommand(c *command) {
	if s.Send(c.frame) == nil && c.written.Swap(true) {
		s.cfg.OnRepeat(c.frame)
	}
}

// UnansweredCommands returns how many commands wait for an answer.
func (s *Session) UnansweredCommands() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// setTimerLocked sets the timer for the command that is due first.
func (s *Session) setTimerLocked(now time.Time) {
	if len(s.pending) == 0 || s.ended {
		return
	}
	next := s.pending[0].startedAt.Add(s.cfg.GiveUpAfter)
	for _, c := range s.pending {
		if s.welcomed && c.resendAt.Before(next) {
			next = c.resendAt
		}
	}

	if s.timer == nil {
		s.timer = time.AfterFunc(next.Sub(now), s.resendDueCommands)
		return
	}
	s.timer.Reset(next.Sub(now))
}

// resendDueCommands runs on the timer's goroutine. It sends late commands again
// and gives up those older than GiveUpAfter.
func (s *Session) resendDueCommands() {
	now := time.Now()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}

	s.runningTimers.Add(1) // Under mu and before ended: no Wait has begun.
	defer s.runningTimers.Done()

	late, lost := s.takeDueLocked(now)
	s.setTimerLocked(now)
	s.mu.Unlock()

	for _, c := range late {
		s.writeCommand(c)
	}
	for _, c := range lost {
		c.done(nil, ErrNoAnswer)
	}
}

// takeDueLocked returns the commands to send again, and removes and returns
// those to give up.
func (s *Session) takeDueLocked(now time.Time) (late, lost []*command) {
	kept := s.pending[:0]
	for _, c := range s.pending {
		if now.Sub(c.startedAt) >= s.cfg.GiveUpAfter {
			lost = append(lost, c)
			continue
		}
		kept = append(kept, c)
		if s.welcomed && !now.Before(c.resendAt) {
			c.resendAt = now.Add(s.cfg.ResendAfter)
			late = append(late, c)
		}
	}

	clear(s.pending[len(kept):])
	s.pending = kept
	return late, lost
}

// resendAllCommands sends all commands on a new connection, in their first
// order. If a step of a trip is among them, the driver's last fix goes first.
func (s *Session) resendAllCommands() {
	now := time.Now()
	s.mu.Lock()
	unanswered := slices.Clone(s.pending)
	for _, c := range unanswered {
		c.resendAt = now.Add(s.cfg.ResendAfter)
	}

	isStep := func(c *command) bool { return c.frame.GetMoveTrip() != nil }
	fix := s.lastFix
	s.setTimerLocked(now)
	s.mu.Unlock()

	if fix != nil && slices.ContainsFunc(unanswered, isStep) {
		if f := NewFrame(fix); s.Send(f) == nil {
			s.cfg.OnRepeat(f)
		}
	}
	for _, c := range unanswered {
		s.writeCommand(c)
	}
}

// handleAck ends a command, or delays it when the ack says "try again". A node
// that says CodeNoPosition will soon have the driver's next fix.
func (s *Session) handleAck(a *wire.Ack) {
	switch wire.Code(a.Code) {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeInternal, wire.CodeNoPosition:
		s.delayRetry(a.Id)
		return
	}

	if c := s.takeCommand(a.Id); c != nil {
		s.progress.applyAck(c.frame, a)
		c.done(a, nil)
	}
}

// delayRetry postpones the next sending of a command.
func (s *Session) delayRetry(id string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.pending {
		if c.frame.Id == id {
			c.resendAt = now.Add(c.retryDelay())
			s.setTimerLocked(now)
		}
	}
}

// takeCommand removes and returns a command. It returns nil when the command
// was answered before.
func (s *Session) takeCommand(id string) *command {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.pending {
		if c.frame.Id == id {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			return c
		}
	}
	return nil
}

// endCommands ends the remaining commands with ErrEnded.
func (s *Session) endCommands() {
	s.mu.Lock()
	left := s.pending
	s.pending = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()

	s.runningTimers.Wait()
	for _, c := range left {
		c.done(nil, ErrEnded)
	}
}
