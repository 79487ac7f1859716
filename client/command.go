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
	retryAtMost = 4 * time.Second
	giveUpAfter = 60 * time.Second
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
	frame *wire.ClientFrame
	done  func(*wire.Ack, error)
	made  time.Time
	due   time.Time // when to send it again
	tries int       // answered with "try again"
}

// retryDelay returns how long to wait after an ack that says "try again",
// spread so that a crowd that got it at once does not come back at once.
func (c *command) retryDelay() time.Duration {
	limit := min(retryAtMost, time.Second<<min(c.tries, 10))
	c.tries++
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
	id := s.Start(f, func(a *wire.Ack, err error) { answers <- answer{a, err} })
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

// Start sends a command, as soon as there is a connection, and again under the
// same id until it is answered. It returns the id, a new one unless the frame
// has one. done is called once, with the final answer or with ErrNoAnswer or
// ErrEnded: on Run's goroutine, on a timer's, or on this one when the session
// has ended. No frame is read while it runs.
func (s *Session) Start(f *wire.ClientFrame, done func(*wire.Ack, error)) (id string) {
	f.Id = cmp.Or(f.Id, uuid.NewString())
	now := time.Now()

	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		done(nil, ErrEnded)
		return f.Id
	}

	s.commands = append(s.commands, &command{frame: f, done: done, made: now, due: now.Add(s.cfg.ResendAfter)})
	s.scheduleLocked(now)
	s.mu.Unlock()

	_ = s.Send(f) // without a connection it is sent after the next welcome
	return f.Id
}

// Unanswered returns how many commands wait for their answer.
func (s *Session) Unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.commands)
}

// scheduleLocked sets the timer for what is due first.
func (s *Session) scheduleLocked(now time.Time) {
	if len(s.commands) == 0 || s.ended {
		return
	}
	next := s.commands[0].made.Add(s.cfg.GiveUpAfter)
	for _, c := range s.commands {
		if s.welcomed && c.due.Before(next) {
			next = c.due
		}
	}

	if s.timer == nil {
		s.timer = time.AfterFunc(next.Sub(now), s.chase)
		return
	}
	s.timer.Reset(next.Sub(now))
}

// chase runs on a timer's goroutine. It sends again what waits for its ack for
// too long, and gives up what waited for very long.
func (s *Session) chase() {
	now := time.Now()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}

	s.chases.Add(1) // under mu and before ended, so that no Wait has begun
	defer s.chases.Done()

	late, lost := s.dueLocked(now)
	s.scheduleLocked(now)
	s.mu.Unlock()

	for _, f := range late {
		_ = s.Send(f)
	}
	for _, c := range lost {
		c.done(nil, ErrNoAnswer)
	}
}

// dueLocked returns the commands to send again, and takes out those to give up.
func (s *Session) dueLocked(now time.Time) (late []*wire.ClientFrame, lost []*command) {
	kept := s.commands[:0]
	for _, c := range s.commands {
		if now.Sub(c.made) >= s.cfg.GiveUpAfter {
			lost = append(lost, c)
			continue
		}
		kept = append(kept, c)
		if s.welcomed && !now.Before(c.due) {
			c.due = now.Add(s.cfg.ResendAfter)
			late = append(late, c.frame)
		}
	}

	clear(s.commands[len(kept):])
	s.commands = kept
	return late, lost
}

// resend sends all commands on a new connection, in their order.
func (s *Session) resend() {
	now := time.Now()
	s.mu.Lock()
	frames := make([]*wire.ClientFrame, len(s.commands))
	for i, c := range s.commands {
		c.due = now.Add(s.cfg.ResendAfter)
		frames[i] = c.frame
	}

	s.scheduleLocked(now)
	s.mu.Unlock()

	for _, f := range frames {
		_ = s.Send(f)
	}
}

// answer ends a command, unless the ack says that it may be tried again.
func (s *Session) answer(a *wire.Ack) {
	switch wire.Code(a.Code) {
	case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeInternal:
		s.delay(a.Id)
		return
	}

	if c := s.takeCommand(a.Id); c != nil {
		s.progress.answered(c.frame, a)
		c.done(a, nil)
	}
}

// delay makes a command wait before it is sent again.
func (s *Session) delay(id string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if c.frame.Id == id {
			c.due = now.Add(c.retryDelay())
			s.scheduleLocked(now)
		}
	}
}

// takeCommand takes a command out of the list; nil when it was answered before.
func (s *Session) takeCommand(id string) *command {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.commands {
		if c.frame.Id == id {
			s.commands = append(s.commands[:i], s.commands[i+1:]...)
			return c
		}
	}
	return nil
}

// endCommands ends those that are left, when the session has ended.
func (s *Session) endCommands() {
	s.mu.Lock()
	left := s.commands
	s.commands = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()

	s.chases.Wait()
	for _, c := range left {
		c.done(nil, ErrEnded)
	}
}
