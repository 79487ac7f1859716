package process

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Service is a server that is started again when it ends by itself, as an
// operator would do. Its methods may be called from any goroutine.
type Service struct {
	Server
	guard *Guard
	wake  chan struct{}

	mu         sync.Mutex // guards the fields below and the command's arguments
	current    *Process   // nil before the first start
	killed     *Process   // the last one that Kill killed
	excused    bool       // an end now is our doing
	down       bool       // killed on purpose, until revived
	ready      bool       // it was ready since its last start
	unexpected []string   // how it ended by itself after it was ready
}

const (
	startAgainAfter = 300 * time.Millisecond
	lookEvery       = 50 * time.Millisecond
)

// NewService returns a service that Supervise will start.
func NewService(s Server, g *Guard) *Service {
	return &Service{Server: s, guard: g, wake: make(chan struct{}, 1)}
}

// Supervise runs the service until ctx ends. The caller then stops the last
// process.
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

// startUnlessDown starts the process unless it was killed on purpose.
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

// noteEnd records an end that we did not cause.
func (s *Service) noteEnd(p *Process, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = false
	if served && p != s.killed && !s.excused {
		s.unexpected = append(s.unexpected, fmt.Sprintf("%s ended by itself: %v", s.Name, p.err))
	}
}

// Kill kills the process, which stays down until Revive.
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

// Revive makes Supervise start the service again after Kill.
func (s *Service) Revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false

	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Pause stops the process until Resume. Connections stay open, and nothing
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

// PID returns that of the current or the last process; 0 before the first.
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

// SetExcused sets whether an end of the process from now on is our doing, and
// so not unexpected.
func (s *Service) SetExcused(ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused = ours
}

// AwaitReady waits until the server is ready.
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

// Stop ends the last process. Supervise must have returned.
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

// UnexpectedEnds returns how the service ended by itself after it was ready.
func (s *Service) UnexpectedEnds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unexpected)
}
