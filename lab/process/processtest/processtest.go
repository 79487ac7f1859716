// Package processtest starts a Redis or a Postgres for a test, which may kill,
// pause and start it again.
package processtest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/process"
)

const (
	startWithin = time.Minute
	stopWithin  = 10 * time.Second
)

// Server is a server that runs until the test ends, unless the test kills it.
// Its methods belong to the test's goroutine.
type Server struct {
	Address string // HOST:PORT
	URL     string // as in the flags of a node

	t       testing.TB
	server  process.Server
	guard   *process.Guard
	running *process.Process
}

// Redis starts a server. If a flag occurs twice, the last one counts.
func Redis(t testing.TB, flags ...string) *Server {
	t.Helper()
	return open(t, process.MissingRedis(), func(_ context.Context, dir, address string, _ *process.Guard) (process.Server, string, error) {
		s, err := process.PrepareRedis(dir, address, flags...)
		return s, process.RedisURL(address), err
	})
}

// Sentinel starts a Sentinel that watches a Redis under the name "main".
func Sentinel(t testing.TB, watched *Server) *Server {
	t.Helper()
	return open(t, process.MissingRedis(), func(_ context.Context, dir, address string, _ *process.Guard) (process.Server, string, error) {
		s, err := process.PrepareSentinel(dir, address, watched.Address)
		return s, process.RedisURL(address), err
	})
}

// Postgres starts a server without fsync: tests kill processes, not machines.
// If a flag occurs twice, the last one counts.
func Postgres(t testing.TB, flags ...string) *Server {
	t.Helper()
	flags = append(flags, "-c", "fsync=off")
	return open(t, process.MissingPostgres(), func(ctx context.Context, dir, address string, g *process.Guard) (process.Server, string, error) {
		s, err := process.PreparePostgres(ctx, dir, address, g, nil, flags...)
		return s, process.PostgresURL(address), err
	})
}

// Standby starts a server that follows the primary, until SELECT pg_promote()
// makes it a primary itself.
func Standby(t testing.TB, primary *Server) *Server {
	t.Helper()
	return open(t, process.MissingPostgres(), func(ctx context.Context, dir, address string, g *process.Guard) (process.Server, string, error) {
		s, err := process.PrepareStandby(ctx, dir, address, primary.Address, g)
		return s, process.PostgresURL(address), err
	})
}

// PgBouncer starts a pooler in transaction mode before a Postgres. Options are
// lines of its configuration.
func PgBouncer(t testing.TB, postgres *Server, options ...string) *Server {
	t.Helper()
	return open(t, process.MissingPgBouncer(), func(_ context.Context, dir, address string, _ *process.Guard) (process.Server, string, error) {
		s, err := process.PreparePgBouncer(dir, address, postgres.Address, options...)
		return s, process.PostgresURL(address), err
	})
}

// prepare returns a server and its URL.
type prepare func(ctx context.Context, dir, address string, g *process.Guard) (process.Server, string, error)

// newFolder returns a folder for servers, until the test ends. It skips the test
// where their program is missing, unless RIDEHAIL_TEST_REQUIRE forbids it.
func newFolder(t testing.TB, missing error) (string, *process.Guard) {
	t.Helper()
	if missing != nil && os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatal(missing)
	}
	if missing != nil {
		t.Skip(missing)
	}

	dir, guard, err := process.NewFolder("ridehail-test")
	if dir != "" {
		// Cleanups run in reverse order: this one after all processes ended.
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, guard
}

func open(t testing.TB, missing error, prepare prepare) *Server {
	t.Helper()
	dir, guard := newFolder(t, missing)
	at, err := process.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}

	s := &Server{Address: at[0], t: t, guard: guard}
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()

	if s.server, s.URL, err = prepare(ctx, dir, s.Address, guard); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if s.running != nil && s.running.Alive() {
			_ = s.running.Stop(stopWithin)
		}
	})

	s.Start()
	return s
}

// Start starts the server and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()

	// Not the test's context, because a cleanup may start it as well.
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()

	p, err := s.server.Serve(ctx, s.guard)
	if err != nil {
		log, _ := os.ReadFile(s.server.LogPath())
		s.t.Fatalf("%v:\n%s", err, log)
	}
	s.running = p
}

// Kill sends SIGKILL to all processes of the server at once.
func (s *Server) Kill() { s.running.Kill() }

// Pause stops all processes of the server. Connections stay open, and nothing
// answers on them.
func (s *Server) Pause() { s.running.Pause() }

// Resume ends a pause.
func (s *Server) Resume() { s.running.Resume() }

// ComposeFile is the environment variable with the path of a compose.yaml to
// use instead of the module's. Mutation tests plant a mistake there.
const ComposeFile = "RIDEHAIL_TEST_COMPOSE"

// ComposeFlags returns the flags with which compose.yaml starts a server, so
// that a test is about the setup in the README.
func ComposeFlags(t testing.TB, program string) []string {
	t.Helper()
	path := os.Getenv(ComposeFile)
	if path == "" {
		path = filepath.Join(moduleRoot(t), "compose.yaml")
	}

	compose, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	_, after, found := strings.Cut(string(compose), `command: ["`+program+`"`)
	line, _, _ := strings.Cut(after, "\n")
	var flags []string
	if err := json.Unmarshal([]byte(`["`+program+`"`+line), &flags); !found || err != nil {
		t.Fatalf("%s has no command of %s in one line: %v", path, program, err)
	}

	return flags[1:]
}

// moduleRoot returns the folder of go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}

	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil:
			return dir
		case !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir):
			t.Fatalf("no go.mod above the test: %v", err)
		}

		dir = filepath.Dir(dir)
	}
}

// RedisCluster starts a Redis Cluster with so many replicas for each master.
func RedisCluster(t testing.TB, masters, replicas int, flags ...string) *process.RedisCluster {
	t.Helper()
	dir, guard := newFolder(t, process.MissingRedis())
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()

	c, err := process.StartRedisCluster(ctx, dir, guard, masters, replicas, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
