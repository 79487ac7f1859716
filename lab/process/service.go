package process

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Service is a server that is kept running, as an operator would: when it ends
// by itself it is started again. Its methods may be called from any goroutine.
type Service struct {
	Server
	guard *Guard
	wake  chan struct{}

	mu         sync.Mutex // guards below, and the command's arguments
	current    *Process   // nil before the first start
	killed     *Process   // the last one that we killed
	excused    bool       // whatever becomes of it now is our doing
	down       bool       // killed on purpose, until revived
	ready      bool       // it served since its last start
	unexpected []string   // how it ended by itself after it had served
}

const (
	startAgainAfter = 300 * time.Millisecond
	lookEvery       = 50 * time.Millisecond
)

// NewService does not start the server yet: Supervise does.
func NewService(s Server, g *Guard) *Service {
	return &Service{Server: s, guard: g, wake: make(chan struct{}, 1)}
}

// Supervise runs the service until ctx ends, and leaves stopping the last process to
// the caller.
func (s *Service) Supervise(ctx context.Context) error {
	for ctx.Err() == nil {
		p, err := s.startUnlessDown()
		if err != nil {
			return err
		}
		if p != nil {
			s.watchProcess(ctx, p)
		}

		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(startAgainAfter):
		}
	}

	return nil
}

// startUnlessDown starts the process unless it is meant to be down.
func (s *Service) startUnlessDown() (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return nil, nil
	}

	p, err := Start(s.Command, s.guard)
	if err != nil {
		return nil, err
	}

	s.current, s.ready = p, false
	return p, nil
}

// watchProcess watches a process until it has ended.
func (s *Service) watchProcess(ctx context.Context, p *Process) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for whole := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.ended:
			s.noteEnd(p, whole)
			return
		case <-tick.C:
		}

		if !whole && s.Ready(ctx) == nil {
			whole = true
			s.mu.Lock()
			s.ready = true
			s.mu.Unlock()
		}
	}
}

// noteEnd notes an end that was not our doing.
func (s *Service) noteEnd(p *Process, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = false
	if served && p != s.killed && !s.excused {
		s.unexpected = append(s.unexpected, fmt.Sprintf("%s ended by itself: %v", s.Name, p.err))
	}
}

// Kill ends the process the hard way, and it stays down until revived.
func (s *Service) Kill() {
	s.mu.Lock()
	s.down, s.ready = true, false
	p := s.current
	s.killed = p
	s.mu.Unlock()

	if p != nil {
		p.Kill()
	}
}

// Revive ends what Kill began: the server is started again.
func (s *Service) Revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false

	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Pause stops the process until Resume: its connections stay, and nothing
// answers on them.
func (s *Service) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.Alive() {
		s.current.Pause()
	}
}

// Resume ends a pause.
func (s *Service) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.Alive() {
		s.current.Resume()
	}
}

// PID is that of the process that runs, or of the last one; 0 before the first.
func (s *Service) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return 0
	}
	return s.current.PID()
}

// SetLastArg replaces the last argument from the next start on.
func (s *Service) SetLastArg(arg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Args = append(slices.Clone(s.Args[:len(s.Args)-1]), arg)
}

// SetExcused says whether what becomes of the process from now on is our doing.
func (s *Service) SetExcused(ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused = ours
}

// AwaitReady waits until the server serves.
func (s *Service) AwaitReady(ctx context.Context) error {
	for {
		s.mu.Lock()
		whole := s.ready
		s.mu.Unlock()
		if whole {
			return nil
		}
		if !sleep.For(ctx, lookEvery) {
			return fmt.Errorf("%s does not serve; see %s: %w", s.Name, s.LogPath(), context.Cause(ctx))
		}
	}
}

// Stop ends the last process; Supervise must have returned.
func (s *Service) Stop(within time.Duration) error {
	s.mu.Lock()
	p := s.current
	s.mu.Unlock()

	if p == nil || !p.Alive() {
		return nil
	}
	if err := p.Stop(within); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// UnexpectedEnds says how the service ended by itself after it had served.
func (s *Service) UnexpectedEnds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unexpected)
}
