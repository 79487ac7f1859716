package ridehail_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// compose is what servers are started with by those who follow the README.
//
//go:embed compose.yaml
var compose string

// flagsOf returns what compose.yaml starts a server's program with.
func flagsOf(t *testing.T, program string) []string {
	t.Helper()
	_, after, found := strings.Cut(compose, `command: ["`+program+`"`)
	line, _, _ := strings.Cut(after, "\n")
	var flags []string
	if err := json.Unmarshal([]byte(`["`+program+`"`+line), &flags); !found || err != nil {
		t.Fatalf("compose.yaml has no command of %s in one line: %v", program, err)
	}
	return flags[1:]
}

// server is a server of the test's own, with the flags of compose.yaml, that can be killed with all its processes.
type server struct {
	t       *testing.T
	path    string
	args    []string
	as      *syscall.SysProcAttr
	answers func(context.Context) error
	running *exec.Cmd
	ended   chan struct{}
	log     bytes.Buffer // of the running one; read when it has ended
}

// start returns when the server answers.
func (s *server) start() {
	s.t.Helper()
	s.running, s.ended = exec.Command(s.path, s.args...), make(chan struct{})
	s.log.Reset()
	s.running.Dir, s.running.SysProcAttr, s.running.Stdout, s.running.Stderr = "/", s.as, &s.log, &s.log
	if err := s.running.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(s.running, s.ended)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for s.answers(ctx) != nil {
		select {
		case <-s.ended:
			s.t.Fatalf("%s ended:\n%s", s.path, s.log.String())
		case <-ctx.Done():
			s.kill()
			s.t.Fatalf("%s does not answer:\n%s", s.path, s.log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kill is SIGKILL to all processes of the server, which are stopped first so that none sees another one die.
func (s *server) kill() {
	pid := s.running.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
	family := append(children(pid), pid)
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range family {
			_ = syscall.Kill(pid, signal)
		}
	}
	<-s.ended
}

func children(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
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

// installed finds a program, or skips the test.
func installed(t *testing.T, name string, folders ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range folders {
		if found, _ := filepath.Glob(filepath.Join(pattern, name)); len(found) > 0 {
			return slices.Max(found)
		}
	}
	if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is not there and must be: run ci/setup", name)
	}
	t.Skipf("%s is not there: run ci/setup", name)
	return ""
}

func freeAddress(t *testing.T) (address, host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), host, port
}

// startRedis adds flags to those of compose.yaml; the last of a kind counts.
func startRedis(t *testing.T, more ...string) (s *server, address string) {
	t.Helper()
	address, host, port := freeAddress(t)
	s = &server{t: t, path: installed(t, "redis-server"),
		args: append(append(flagsOf(t, "redis-server"), "--bind", host, "--port", port, "--dir", t.TempDir()), more...),
		answers: func(ctx context.Context) error { // LOADING is not an answer
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			defer conn.Close()
			answer := make([]byte, 64)
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if _, err = conn.Write([]byte("PING\r\n")); err == nil {
				_, err = conn.Read(answer)
			}
			if err == nil && !bytes.HasPrefix(answer, []byte("+PONG")) {
				err = errors.New(string(answer))
			}
			return err
		}}
	s.start()
	t.Cleanup(s.kill)
	return s, address
}

// written waits until Redis has handed all that it acked to the system, which keeps it when Redis is killed. Mostly that
// happens before the ack; while the disk is slow to sync, up to two seconds later.
func written(t *testing.T, address string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, 8192)
	for {
		if _, err := conn.Write([]byte("INFO persistence\r\n")); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatalf("Redis does not get its file written: %v", err)
		}
		if told := answer[:n]; !bytes.Contains(told, []byte("aof_buffer_length:")) || bytes.Contains(told, []byte("aof_buffer_length:0\r\n")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// startPostgres runs as the user postgres if this is root, whom it refuses.
func startPostgres(t *testing.T) (s *server, url string) {
	t.Helper()
	initdb, err := filepath.EvalSymlinks(installed(t, "initdb", "/usr/lib/postgresql/*/bin")) // postgres is beside it
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ridehail-durable") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatalf("Postgres does not run as root, and there is no user for it: %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := dir + "/data"
	prepare := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	prepare.Dir, prepare.SysProcAttr = dir, as
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	address, host, port := freeAddress(t)
	url = "postgres://postgres@" + address + "/postgres?sslmode=disable"
	s = &server{t: t, path: filepath.Dir(initdb) + "/postgres", as: as,
		args: append(flagsOf(t, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses="+host,
			"-c", "unix_socket_directories=",
			"-c", "fsync=off", // processes are killed here, not machines
			"-c", "wal_writer_delay=10s"), // commits that wait for nobody stay unwritten so long
		answers: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		}}
	s.start()
	t.Cleanup(s.kill)
	return s, url
}
