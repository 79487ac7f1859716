package events

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// sessions gives up connections that lead to a server that cannot serve, such
// as the former primary after a failover. The library gives up only the
// connection that got the answer READONLY, and not even that one if the answer
// was not the first of its pipeline. The others would stay: PUBLISH succeeds on
// a replica, and reaches nobody who listens to the new primary.
//
// A command under way ends on its connection. An idle connection is closed when
// the pool looks at it before its next use. All methods may be called from many
// goroutines.
type sessions struct {
	// generation counts the times that the connections were given up.
	generation atomic.Uint64

	mu    sync.Mutex    // guards renew
	renew chan struct{} // closed when subscriptions must be renewed
}

func newSessions() *sessions { return &sessions{renew: make(chan struct{})} }

// giveUp lets no connection made until now carry another command.
func (s *sessions) giveUp() { s.generation.Add(1) }

// renewal returns a channel that is closed when subscriptions made until now
// must be made again on new connections.
func (s *sessions) renewal() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew
}

// renewSubscriptions closes the channel of renewal.
func (s *sessions) renewSubscriptions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.renew)
	s.renew = make(chan struct{})
}

// DialHook notes the generation of each connection. It is read before dialing:
// a server that stops serving meanwhile is given up too.
func (s *sessions) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		born := s.generation.Load()
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &session{Conn: conn, of: s, born: born}, nil
	}
}

// ProcessHook looks at the answer to each command.
func (s *sessions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		s.judge(err)
		return err
	}
}

// ProcessPipelineHook looks at the answers to all commands of a pipeline. It
// returns the reason of a refusal instead of EXECABORT, which only says that
// there was one.
func (s *sessions) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if s.judge(cmd.Err()) || redis.IsExecAbortError(err) && !redis.IsExecAbortError(cmd.Err()) {
				return cmd.Err()
			}
		}
		return err
	}
}

// judge gives up the connections if an error says that this server cannot
// serve. It reports whether it did.
func (s *sessions) judge(err error) bool {
	if !isServerUnfit(err) {
		return false
	}
	s.giveUp()
	return true
}

// isServerUnfit reports whether an error says that another server may have the
// address by now: the server refuses all writes, or gives no answer in time.
func isServerUnfit(err error) bool {
	if err == nil {
		return false
	}
	for _, prefix := range []string{"READONLY ", "NOREPLICAS ", "MISCONF ", "MASTERDOWN ", "LOADING ", "UNBLOCKED "} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	// Of an answer, not of a connection that could not be made.
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// session is one connection of a pool.
type session struct {
	net.Conn
	of   *sessions
	born uint64 // the generation when it was dialed
}

var errGivenUp = errors.New("the server of this connection could not serve")

// SyscallConn is what the pool looks at before it hands out an idle connection.
// An error makes it close the connection.
func (s *session) SyscallConn() (syscall.RawConn, error) {
	if s.born != s.of.generation.Load() {
		return nil, errGivenUp
	}
	if conn, ok := s.Conn.(syscall.Conn); ok {
		return conn.SyscallConn()
	}
	return opaqueConn{}, nil
}

// opaqueConn stands for a connection whose socket must not be looked at, such
// as one with TLS: what waits there is not an answer.
type opaqueConn struct{ syscall.RawConn }

func (opaqueConn) Read(func(fd uintptr) bool) error { return nil }
