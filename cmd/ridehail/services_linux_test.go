package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// service is a server process of the test's own, which may be killed and stopped.
type service struct {
	t       *testing.T
	command func() *exec.Cmd
	answers func(context.Context) error
	running *exec.Cmd
	stopped []int // processes that hang
	log     *lockedBuffer
}

// start returns when the service answers. A server that was killed may need several attempts, until what is left of the
// old one is gone.
func (s *service) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		s.running = s.command()
		s.running.Stdout, s.running.Stderr = s.log, s.log
		if err := s.running.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(ended) }(s.running)
		if s.awaitAnswer(ctx, ended) {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s does not answer:\n%s", s.running.Path, s.log)
		}
	}
}

func (s *service) awaitAnswer(ctx context.Context, ended <-chan struct{}) bool {
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := s.answers(try)
		cancel()
		if err == nil {
			return true
		}
		select {
		case <-ended:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the service as a crash of its machine would.
func (s *service) kill() { s.end(syscall.SIGKILL) }

func (s *service) end(how syscall.Signal) {
	if err := s.running.Process.Signal(how); err != nil {
		return // it has ended
	}
	for s.running.Process.Signal(syscall.Signal(0)) == nil { // until start's goroutine has waited for it
		time.Sleep(5 * time.Millisecond)
	}
}

// hang stops the service with all its processes: connections stay, and nobody answers on them.
func (s *service) hang() {
	pid := s.running.Process.Pid
	s.signal(syscall.SIGSTOP, pid) // first, so that it has no more children
	s.stopped = append(childrenOf(s.t, pid), pid)
	s.signal(syscall.SIGSTOP, s.stopped...)
}

// goOn ends hang.
func (s *service) goOn() {
	s.signal(syscall.SIGCONT, s.stopped...)
	s.stopped = nil
}

func (s *service) signal(what syscall.Signal, pids ...int) {
	for _, pid := range pids {
		if err := syscall.Kill(pid, what); err != nil && err != syscall.ESRCH {
			s.t.Errorf("signal %v to %d: %v", what, pid, err)
		}
	}
}

func childrenOf(t *testing.T, parent int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended
		}
		rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // after the name: state, parent
		if len(rest) > 1 && rest[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// need finds a program, or skips the test.
func need(t *testing.T, name string, folders ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range folders {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(found) > 0 {
			return slices.Max(found)
		}
	}
	if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is not there and must be: run ci/setup", name)
	}
	t.Skipf("%s is not there; run ci/setup to try outages", name)
	return ""
}

func startRedis(t *testing.T) (s *service, url string) {
	t.Helper()
	binary, address := need(t, "redis-server"), freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	s = &service{t: t, log: new(lockedBuffer),
		command: func() *exec.Cmd {
			return exec.Command(binary, "--bind", host, "--port", port, "--save", "", "--dir", dir)
		},
		answers: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		}}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	s.start()
	return s, "redis://" + address + "/0"
}

// startPostgres makes a server of its own, which as root runs as the user postgres, as it demands.
func startPostgres(t *testing.T) (s *service, url string) {
	t.Helper()
	initdb, err := filepath.EvalSymlinks(need(t, "initdb", "/usr/lib/postgresql/*/bin")) // the other programs are beside it
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ridehail-outage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		as = &syscall.SysProcAttr{Credential: userPostgres(t)}
		if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	command := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.SysProcAttr = dir, as
		return cmd
	}
	data := dir + "/data"
	if out, err := command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	url = "postgres://postgres@" + address + "/postgres?sslmode=disable"
	s = &service{t: t, log: new(lockedBuffer),
		command: func() *exec.Cmd {
			return command(filepath.Dir(initdb)+"/postgres", "-D", data, "-p", port, "-c", "listen_addresses="+host,
				"-c", "unix_socket_directories=", "-c", "fsync=off") // processes are killed here, not machines
		},
		answers: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		}}
	t.Cleanup(func() { s.end(syscall.SIGQUIT) })
	s.start()
	return s, url
}

func userPostgres(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(fmt.Errorf("postgres does not run as root and there is no user for it: %w", err))
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// mute is a server that takes connections and never answers. End it by the function returned.
func mute(t *testing.T, address string) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan []net.Conn)
	go func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				taken <- conns
				return
			}
			conns = append(conns, c)
		}
	}()
	return func() {
		l.Close()
		for _, c := range <-taken {
			c.Close()
		}
	}
}

// strait is a way to a server that can be cut: nobody is told, nothing arrives, and what was connected then stays silent
// for ever.
type strait struct {
	to   string
	over chan struct{} // closed when the test ends

	mu    sync.Mutex // guards below
	era   int        // of the connections that pass; 0 while the way is cut
	eras  int
	conns []net.Conn
}

// openStrait returns the address of this side.
func openStrait(t *testing.T, to string) (s *strait, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &strait{to: to, over: make(chan struct{}), era: 1, eras: 1}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			pipes.Go(func() { s.carry(near, &pipes) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(s.over)
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		pipes.Wait()
	})
	return s, l.Addr().String()
}

func (s *strait) cut() { s.set(0) }

func (s *strait) mend() { s.set(1) }

func (s *strait) set(step int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eras++
	s.era = s.eras * step
}

func (s *strait) keep(c net.Conn) (era int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return s.era
}

func (s *strait) carry(near net.Conn, pipes *sync.WaitGroup) {
	era := s.keep(near)
	if era == 0 {
		return // until the end
	}
	far, err := net.Dial("tcp", s.to)
	if err != nil {
		near.Close()
		return
	}
	s.keep(far)
	pipes.Go(func() { s.pipe(far, near, era) })
	s.pipe(near, far, era)
}

func (s *strait) pipe(to, from net.Conn, era int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		s.mu.Lock()
		cut := s.era != era
		s.mu.Unlock()
		if cut {
			<-s.over // also when from has closed: the other side must not hear of it
			return
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}
