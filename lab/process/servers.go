package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Server is the command of a server, and a test whether it is ready.
type Server struct {
	Command
	Ready func(context.Context) error // returns why it is not ready, or nil
}

// Serve starts the server and returns when it is ready. A server that was
// killed may need several attempts, until what is left of the old one is gone.
// If ctx ends first, Serve kills it and returns an error.
func (s Server) Serve(ctx context.Context, g *Guard) (*Process, error) {
	for {
		p, err := Start(s.Command, g)
		if err != nil {
			return nil, err
		}

		for p.Alive() {
			why := s.Ready(ctx)
			if why == nil {
				return p, nil
			}
			if !sleep.For(ctx, lookEvery) {
				p.Kill()
				return nil, fmt.Errorf("%s does not answer (%w); see %s", s.Name, why, s.LogPath())
			}
		}

		if !sleep.For(ctx, startAgainAfter) {
			return nil, fmt.Errorf("%s ended (%w); see %s", s.Name, p.Err(), s.LogPath())
		}
	}
}

// MissingServers returns an error that names each program that is not installed
// and what installs it, or nil.
func MissingServers() error { return errors.Join(MissingRedis(), MissingPostgres()) }

// MissingRedis is MissingServers for Redis alone.
func MissingRedis() error { _, err := findRedis(); return err }

// MissingPostgres is MissingServers for Postgres alone.
func MissingPostgres() error { _, err := findPostgres(); return err }

func findRedis() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", fmt.Errorf("%w: run ci/setup redis", err)
	}
	return path, nil
}

// findPostgres returns the folder of initdb and postgres, which Debian keeps
// out of the path.
func findPostgres() (string, error) {
	if found, err := exec.LookPath("initdb"); err == nil {
		if found, err = filepath.EvalSymlinks(found); err == nil {
			return filepath.Dir(found), nil
		}
	}

	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(dirs) == 0 {
		return "", errors.New("initdb is neither in the path nor in /usr/lib/postgresql/*/bin: run ci/setup postgres")
	}
	return slices.Max(dirs), nil
}

// NewFolder makes a folder for servers, which the user postgres may enter, and
// a guard that removes it if this process is killed. After an error dir may be
// set; the caller removes it.
func NewFolder(name string) (dir string, g *Guard, err error) {
	if dir, err = os.MkdirTemp("", name+"."); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, nil, err
	}

	g, err = NewGuard(dir)
	return dir, g, err
}

// PrepareRedis prepares a server with an empty folder in dir. If a flag occurs
// twice, the last one counts.
func PrepareRedis(dir, address string, flags ...string) (Server, error) {
	path, err := findRedis()
	if err != nil {
		return Server{}, err
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Server{}, err
	}
	if err := os.Mkdir(dir+"/redis", 0o755); err != nil {
		return Server{}, err
	}

	args := append([]string{"--bind", host, "--port", port, "--dir", dir + "/redis"}, flags...)
	return Server{Command{Name: "redis", Path: path, Dir: dir, Args: args},
		func(ctx context.Context) error { return RedisDo(ctx, address, "PING", "+PONG") }}, nil
}

// PrepareSentinel prepares a Sentinel that watches a server under the name
// "main". One Sentinel alone is enough to say that it is down.
func PrepareSentinel(dir, address, watched string) (Server, error) {
	s, err := PrepareRedis(dir, address)
	if err != nil {
		return Server{}, err
	}

	host, port, err := net.SplitHostPort(watched)
	if err != nil {
		return Server{}, err
	}

	// A Sentinel writes what it learns into its file.
	file := dir + "/sentinel.conf"
	if err := os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor main %s %s 1\n", host, port), 0o600); err != nil {
		return Server{}, err
	}
	s.Name, s.Args = "sentinel", append([]string{file, "--sentinel"}, s.Args...)
	return s, nil
}

// RedisURL is the URL of a server at HOST:PORT.
func RedisURL(address string) string { return "redis://" + address + "/0" }

// PostgresURL is the URL of the database postgres of a server at HOST:PORT.
func PostgresURL(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable"
}

// PostgresHome is the folder of a server's tables in dir.
func PostgresHome(dir string) string { return dir + "/postgres" }

// PreparePostgres makes a database cluster in dir, with one folder for the
// tables and another one for the log. If this process is root, the server will
// run as the user postgres, because Postgres refuses to run as root. If onHome
// is set, it is called with the empty folder for the tables and its owner,
// which is nil for this process's user.
func PreparePostgres(ctx context.Context, dir, address string, g *Guard, onHome func(home string, owner *syscall.Credential), flags ...string) (Server, error) {
	bin, err := findPostgres()
	if err != nil {
		return Server{}, err
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Server{}, err
	}

	// The log is elsewhere, so that a commit costs what it does on a real disk
	// even if the tables are in memory.
	home, log := PostgresHome(dir), dir+"/wal"
	owner, err := makePostgresFolders(home, log)
	if err != nil {
		return Server{}, err
	}
	if onHome != nil {
		onHome(home, owner)
	}

	initdb := Command{Name: "initdb", Path: bin + "/initdb", Dir: dir, User: owner,
		Args: []string{"-D", home + "/data", "-X", log, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"}}
	if err := runCommand(ctx, initdb, g); err != nil {
		return Server{}, err
	}

	return newPostgres(bin, dir, host, port, owner, flags...), nil
}

// runCommand returns when the command has ended. It kills it when ctx ends.
func runCommand(ctx context.Context, c Command, g *Guard) error {
	p, err := Start(c, g)
	if err != nil {
		return err
	}

	select {
	case <-p.Ended():
	case <-ctx.Done():
		p.Kill()
		return context.Cause(ctx)
	}

	if p.Err() != nil {
		return fmt.Errorf("%s: %w; see %s", c.Name, p.Err(), c.LogPath())
	}
	return nil
}

// makePostgresFolders makes folders that belong to the user that Postgres runs
// as, nil for this process's.
func makePostgresFolders(folders ...string) (owner *syscall.Credential, err error) {
	if os.Getuid() == 0 {
		if owner, err = lookUpCredential("postgres"); err != nil {
			return nil, err
		}
	}

	for _, dir := range folders {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		if owner == nil {
			continue
		}
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}

	return owner, nil
}

func lookUpCredential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("this is root, which Postgres refuses, and there is no other user for it: %w", err)
	}

	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}

	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// FreeAddresses returns n addresses on loopback on which no process listens
// now. Their ports are below those that systems give to outgoing connections,
// which would otherwise take one before a server listens on it.
func FreeAddresses(n int) (out []string, err error) {
	for range n {
		l, err := listenOnFreePort()
		if err != nil {
			return nil, fmt.Errorf("find a free address: %w", err)
		}

		// All are closed at the end, so that none is returned twice.
		defer func() { _ = l.Close() }()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// The ports of FreeAddresses. Linux gives outgoing connections those from 32768
// on.
const firstFreePort, freePorts = 10_000, 22_000

func listenOnFreePort() (l net.Listener, err error) {
	const tries = 100
	for range tries {
		port := strconv.Itoa(firstFreePort + rand.IntN(freePorts))
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// answerWithin is how long a server that serves may take to answer.
const answerWithin = time.Second
