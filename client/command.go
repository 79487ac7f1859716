package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/wire"
)

const (
	resendAfter = 4 * time.Second // without an ack
	// after an ack that says "try again"; 1 s at first, doubled each time
	maxCommandRetry = 4 * time.Second
	giveUpAfter     = 60 * time.Second
)

// Errors of commands.
var (
	// whether it was carried out is unknown
	ErrNoAnswer = errors.New("the node never answered")
	ErrEnded    = errors.New("the session ended before an answer") // the same
)

// CommandError is a node's refusal of a command.
type CommandError struct {
	Code    wire.Code
	Message string // for a person
}

func (e *CommandError) Error() string { return string(e.Code) + ": " + e.Message }

// command is sent until it is answered.
type command struct {
	frame     *wire.ClientFrame
	done      func(*wire.Ack, error)
	startedAt time.Time
	resendAt  time.Time // when to send it again
	retries   int       // answered with "try again"
}

// retryDelay returns how long to wait after an ack that says "try again",
// spread so that a crowd that got it at once does not come back at once.
func (c *command) retryDelay() time.Duration {
	limit := min(maxCommandRetry, time.Second<<min(c.retries, 10))
	c.retries++
	return limit/4 + rand.N(limit*3/4)
}

// Do sends a command and waits for the answer, over as many connections as that
// takes. An answer that refuses comes back together with a *CommandError. Other
// errors: ErrNoAnswer, ErrEnded, or the context's; then the command may have
// been carried out or not. Do must not be called from the session's callbacks.
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

// StartCommand sends a command, as soon as there is a connection, and again under the
// same id until it is answered. It returns the id, a new one unless the frame
// has one. done is called once, with the final answer or with ErrNoAnswer or
// ErrEnded: on Run's goroutine, on a timer's, or on this one when the session
// has ended. No frame is read while it runs.
func (s *Session) StartCommand(f *wire.ClientFrame, done func(*wire.Ack, error)) (id string) {
	f.Id = cmp.Or(f.Id, uuid.NewString())
	now := time.Now()

	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		done(nil, ErrEnded)
		return f.Id
	}

	s.pending = append(s.pending, &command{frame: f, done: done, startedAt: now, resendAt: now.Add(s.cfg.ResendAfter)})
	s.setTimerLocked(now)
	s.mu.Unlock()

	_ = s.Send(f) // without a connection it is sent after the next welcome
	return f.Id
}

// UnansweredCommands returns how many commands wait for their answer.
func (s *Session) UnansweredCommands() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// setTimerLocked sets the timer for what is due first.
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

// resendDueCommands runs on a timer's goroutine. It sends again what waits for its ack for
// too long, and gives up what waited for very long.
func (s *Session) resendDueCommands() {
	now := time.Now()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}

	s.runningTimers.Add(1) // under mu and before ended, so that no Wait has begun
	defer s.runningTimers.Done()

	late, lost := s.takeDueLocked(now)
	s.setTimerLocked(now)
	s.mu.Unlock()

	for _, f := range late {
		_ = s.Send(f)
	}
	for _, c := range lost {
		c.done(nil, ErrNoAnswer)
	}
}

// takeDueLocked returns the commands to send again, and takes out those to give up.
func (s *Session) takeDueLocked(now time.Time) (late []*wire.ClientFrame, lost []*command) {
	kept := s.pending[:0]
	for _, c := range s.pending {
		if now.Sub(c.startedAt) >= s.cfg.GiveUpAfter {
			lost = append(lost, c)
			continue
		}
		kept = append(kept, c)
		if s.welcomed && !now.Before(c.resendAt) {
			c.resendAt = now.Add(s.cfg.ResendAfter)
			late = append(late, c.frame)
		}
	}

	clear(s.pending[len(kept):])
	s.pending = kept
	return late, lost
}

// resendAllCommands sends all commands on a new connection, in their order.
func (s *Session) resendAllCommands() {
	now := time.Now()
	s.mu.Lock()
	frames := make([]*wire.ClientFrame, len(s.pending))
	for i, c := range s.pending {
		c.resendAt = now.Add(s.cfg.ResendAfter)
		frames[i] = c.frame
	}

	s.setTimerLocked(now)
	s.mu.Unlock()

	for _, f := range frames {
		_ = s.Send(f)
	}
}

// handleAck ends a command, unless the ack says that it may be tried again.
func (s *Session) handleAck(a *wire.Ack) {
	switch wire.Code(a.Code) {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeInternal:
		s.delayRetry(a.Id)
		return
	}

	if c := s.takeCommand(a.Id); c != nil {
		s.progress.applyAck(c.frame, a)
		c.done(a, nil)
	}
}

// delayRetry makes a command wait before it is sent again.
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

// takeCommand takes a command out of the list; nil when it was answered before.
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

// endCommands ends those that are left, when the session has ended.
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
