package process

import (
	"context"
	"net"
	"strings"
	"syscall"
)

// PrepareStandby copies a running primary into dir and prepares a standby that
// follows it. SELECT pg_promote() makes it a primary. It needs those flags of
// the primary that it must not fall short of, such as max_connections.
func PrepareStandby(ctx context.Context, dir, address, primary string, g *Guard, flags ...string) (Server, error) {
	bin, err := findPostgres()
	if err != nil {
		return Server{}, err
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Server{}, err
	}
	fromHost, fromPort, err := net.SplitHostPort(primary)
	if err != nil {
		return Server{}, err
	}

	home := PostgresHome(dir)
	owner, err := makePostgresFolders(home)
	if err != nil {
		return Server{}, err
	}

	backup := Command{Name: "pg_basebackup", Path: bin + "/pg_basebackup", Dir: dir, User: owner,
		Args: []string{"-D", home + "/data", "-R", "-X", "stream", "-c", "fast", "-N", "-U", "postgres", "-h", fromHost, "-p", fromPort}}
	if err := runCommand(ctx, backup, g); err != nil {
		return Server{}, err
	}
	return newPostgres(bin, dir, host, port, owner, append([]string{"-c", "hot_standby=on"}, flags...)...), nil
}

// newPostgres is the command of a server whose tables are in dir.
//
// Without sockets in the file system there are no lock files for them. The lock
// file in the data folder names a process that is reaped, so it stops no new
// server.
func newPostgres(bin, dir, host, port string, owner *syscall.Credential, flags ...string) Server {
	args := append(strings.Fields("-c listen_addresses="+host+" -p "+port+" -c unix_socket_directories="), flags...)
	return Server{Command{Name: "postgres", Path: bin + "/postgres", Dir: dir, User: owner,
		Args: append([]string{"-D", PostgresHome(dir) + "/data"}, args...)},
		func(ctx context.Context) error { return postgresAnswers(ctx, net.JoinHostPort(host, port)) }}
}
