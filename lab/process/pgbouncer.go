package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MissingPgBouncer is MissingServers for PgBouncer alone, which no node needs.
func MissingPgBouncer() error { _, err := findPgBouncer(); return err }

func findPgBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("pgbouncer is neither in the path nor in /usr/sbin: run ci/setup pgbouncer")
}

// PreparePgBouncer prepares a PgBouncer in transaction mode before the Postgres
// at HOST:PORT, with a file in dir. Options are lines of its section pgbouncer.
// As root it will run as the user postgres, because it refuses to run as root.
func PreparePgBouncer(dir, address, postgres string, options ...string) (Server, error) {
	path, err := findPgBouncer()
	if err != nil {
		return Server{}, err
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Server{}, err
	}
	toHost, toPort, err := net.SplitHostPort(postgres)
	if err != nil {
		return Server{}, err
	}

	home := filepath.Join(dir, "pgbouncer")
	owner, err := makePostgresFolders(home)
	if err != nil {
		return Server{}, err
	}
	if err := os.Chmod(home, 0o755); err != nil {
		return Server{}, err
	}

	config, users := filepath.Join(home, "pgbouncer.ini"), filepath.Join(home, "users.txt")
	lines := append([]string{"[databases]", fmt.Sprintf("* = host=%s port=%s", toHost, toPort), "[pgbouncer]",
		"listen_addr = " + host, "listen_port = " + port, "unix_socket_dir =", "pool_mode = transaction",
		"auth_type = trust", "auth_file = " + users, "max_client_conn = 1000"}, options...)
	for file, text := range map[string]string{config: strings.Join(lines, "\n") + "\n", users: "\"postgres\" \"\"\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return Server{}, err
		}
	}

	return Server{Command{Name: "pgbouncer", Path: path, Dir: dir, User: owner, Args: []string{config}},
		func(ctx context.Context) error { return postgresAnswers(ctx, address) }}, nil
}
