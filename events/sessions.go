package events

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// sessions gives up connections that lead to a server that cannot serve, such
// as the former primary after a failover. The library gives up only the
// connection that got the answer READONLY, and not even that one if the answer
// was not the first of its pipeline. The others would stay: PUBLISH succeeds on
// a replica, and does not reach those who listen to the new primary.
//
// A command under way ends on its connection. An idle connection is closed when
// the pool looks at it before its next use. All methods may be called from many
// goroutines.
//
// In a cluster each server has sessions of its own, so that one that cannot
// serve costs no connection to the others.
type sessions struct {
	all *sessions // those of all servers of a cluster; otherwise nil

	// generation counts the times that the connections were given up.
	generation atomic.Uint64
	// demoted is set when a server answered that it is no primary, until the
	// subscriptions are renewed.
	demoted atomic.Bool
	// commands counts the commands that were sent to all servers, for
	// CommandsSent.
	commands atomic.Int64
	metrics  *metrics // fixed before the first connection

	mu        sync.Mutex    // guards the fields below
	givenUpAt time.Time     // when the connections were last given up
	renew     chan struct{} // closed when subscriptions must be renewed
}

// giveUpInterval is the least time between two times that connections are given
// up, so that a server that refuses for hours is not dialed all the time.
const giveUpInterval = 250 * time.Millisecond

func newSessions() *sessions { return &sessions{renew: make(chan struct{})} }

// ofServer returns the sessions of one server of a cluster.
func (s *sessions) ofServer() *sessions { return &sessions{all: s, metrics: s.metrics} }

// whole returns the sessions of all servers.
func (s *sessions) whole() *sessions {
	if s.all == nil {
		return s
	}
	return s.all
}

// giveUp lets no connection made until now carry another command.
func (s *sessions) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.givenUpAt) >= giveUpInterval {
		s.givenUpAt = now
		s.generation.Add(1)
	}
}

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
		if ctx.Value(noDialing{}) != nil {
			return nil, errNoDialing
		}
		born := s.generation.Load()
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &session{countedConn: countedConn{conn, s.metrics}, of: s, born: born}, nil
	}
}

// noDialing is the key in a context that forbids the library to connect.
type noDialing struct{}

var errNoDialing = errors.New("the connection has ended")

// withoutDialing returns a context for a connection that is to end rather than
// to be replaced by the library.
func withoutDialing(ctx context.Context) context.Context {
	return context.WithValue(ctx, noDialing{}, true)
}

// ProcessHook looks at the answer to each command.
func (s *sessions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.whole().commands.Add(1)
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
		s.whole().commands.Add(int64(len(cmds)))
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if s.judge(cmd.Err()) || redis.IsExecAbortError(err) && !redis.IsExecAbortError(cmd.Err()) {
				return cmd.Err()
			}
		}
		return err
	}
}

// judge gives up the connections if an error says that another server may have
// the address by now. It reports whether it did.
func (s *sessions) judge(err error) bool {
	switch {
	case err == nil:
		return false
	case hasAnyPrefix(err, "READONLY ", "MASTERDOWN ", "NOREPLICAS ", "UNBLOCKED "):
		s.whole().demoted.Store(true)
	case hasAnyPrefix(err, "OOM ", "MISCONF ", "LOADING "), errors.Is(err, os.ErrDeadlineExceeded):
	default:
		return false
	}

	s.giveUp()
	return true
}

func hasAnyPrefix(err error, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return redis.HasErrorPrefix(err, p) })
}

// session is one connection of a pool.
type session struct {
	countedConn
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
