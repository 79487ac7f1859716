package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Missing says which program of others is needed and not installed, and what installs it; nil when there are all.
func Missing() error {
	_, redis := exec.LookPath("redis-server")
	_, postgres := postgresPrograms()
	return errors.Join(redis, postgres)
}

// postgresPrograms is the folder of initdb and postgres, which Debian keeps out of the path.
func postgresPrograms() (string, error) {
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

// preparePostgres makes a database cluster. Postgres refuses to run as root, so then it runs as the user postgres.
func (c *city) preparePostgres(ctx context.Context, address string) error {
	bin, err := postgresPrograms()
	if err != nil {
		return err
	}
	home, log := c.dir+"/postgres", c.dir+"/wal" // the log is elsewhere, so that a commit costs what it does on a true disk
	if err := errors.Join(os.Mkdir(home, 0o700), os.Mkdir(log, 0o700)); err != nil {
		return err
	}
	var who *syscall.Credential
	if os.Getuid() == 0 {
		if who, err = credentialOf("postgres"); err != nil {
			return err
		}
		for _, dir := range []string{home, log} {
			if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
				return err
			}
		}
	}
	if c.disk, err = mountDisk(home, who); err != nil {
		c.leftOut[FullDisk] = err.Error()
	}
	made, err := start(command{name: "initdb", path: bin + "/initdb", dir: c.dir, user: who,
		args: []string{"-D", home + "/data", "-X", log, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"}}, c.guard)
	if err != nil {
		return err
	}
	select {
	case <-made.ended:
	case <-ctx.Done():
		made.kill()
		return context.Cause(ctx)
	}
	if made.err != nil {
		return fmt.Errorf("initdb: %w; see %s/initdb.log", made.err, c.dir)
	}
	// Without sockets in the file system there are no lock files of theirs; the one in the data folder names a process
	// that is reaped, and so stops nobody.
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	c.postgres = newService(command{name: "postgres", path: bin + "/postgres", dir: c.dir, user: who,
		args: []string{"-D", home + "/data", "-p", port, "-c", "listen_addresses=" + host, "-c", "unix_socket_directories=",
			"-c", "max_connections=200"}}, c.guard, dials(address))
	return nil
}

// fillDisk leaves no room for the tables to grow. If Postgres ends over it, that is our doing.
func (c *city) fillDisk() (empty func() error, err error) {
	c.postgres.excuse(true)
	return func() error {
		defer c.postgres.excuse(false)
		return c.disk.empty()
	}, c.disk.fill()
}

// keepDatabase moves what is on the disk to a place that stays.
func (c *city) keepDatabase() error {
	if c.disk == nil {
		return nil
	}
	saved := c.dir + "/saved"
	if err := os.CopyFS(saved, os.DirFS(c.disk.dir)); err != nil {
		return fmt.Errorf("keep the database: %w", err)
	}
	if err := c.disk.close(); err != nil {
		return err
	}
	return errors.Join(os.Remove(c.disk.dir), os.Rename(saved, c.disk.dir))
}

func credentialOf(name string) (*syscall.Credential, error) {
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

func (c *city) prepareRedis(address string) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("%w: run ci/setup redis", err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if err := os.Mkdir(c.dir+"/redis", 0o755); err != nil {
		return err
	}
	ready := func(ctx context.Context) bool { return redisDo(ctx, address, "PING", "+PONG") == nil }
	c.redis = newService(command{name: "redis", path: path, dir: c.dir, args: []string{"--bind", host, "--port", port,
		"--dir", c.dir + "/redis", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"}}, c.guard, ready)
	return nil
}

// flushRedis empties it.
func (c *city) flushRedis(ctx context.Context) error {
	args := c.redis.args
	return redisDo(ctx, net.JoinHostPort(args[1], args[3]), "FLUSHALL", "+OK")
}

// redisDo sends one command of one word, past all proxies, and expects an answer.
func redisDo(ctx context.Context, address, word, want string) error {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", word); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if line != want+"\r\n" {
		return fmt.Errorf("%s: redis answers %q", word, line)
	}
	return nil
}

// dials says whether somebody listens.
func dials(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}
}
