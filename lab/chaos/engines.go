package chaos

import (
	"errors"
	"slices"

	"github.com/ridehail/ridehail/lab/process"
)

// Engines say on what a city keeps its data, and where its nodes are.
type Engines struct {
	Redis    string // [RedisServer]
	Database string // [PostgresServer]
	// Namespaces gives each node a network namespace of its own, where the
	// machine allows it, so that it can be cut off.
	Namespaces bool
}

// What a city runs on.
const (
	RedisServer  = "server"
	RedisCluster = "cluster" // three masters with a replica each

	PostgresServer    = "server"
	PostgresPgBouncer = "pgbouncer" // nodes reach the server through PgBouncer
	PostgresStandby   = "standby"   // a standby confirms each commit
)

// MissingServers returns an error that names each program that is not installed
// and what installs it, or nil.
func (e Engines) MissingServers() error {
	err := process.MissingServers()
	if e.Database == PostgresPgBouncer {
		err = errors.Join(err, process.MissingPgBouncer())
	}
	return err
}

func (e Engines) validate() error {
	if !slices.Contains([]string{RedisServer, RedisCluster}, e.Redis) ||
		!slices.Contains([]string{PostgresServer, PostgresPgBouncer, PostgresStandby}, e.Database) {
		return errors.New("chaos knows Redis as server or cluster, and the database as server, pgbouncer or standby")
	}
	if e.Namespaces && e.Redis == RedisCluster {
		return errors.New("nodes in namespaces need a Redis server: those of a cluster are on this machine's loopback")
	}
	return nil
}

// kinds returns the kinds of faults of these engines, in a fixed order.
func (e Engines) kinds() []Kind {
	return slices.DeleteFunc(slices.Clone(allKinds), func(k Kind) bool {
		switch k {
		case KillRedis, PauseRedis:
			return e.Redis == RedisCluster
		case FailOverRedis, PauseMaster, Reshard:
			return e.Redis != RedisCluster
		case KillPostgres, FullDisk:
			return e.Database == PostgresStandby
		case PromoteStandby:
			return e.Database != PostgresStandby
		case RestartPgBouncer:
			return e.Database != PostgresPgBouncer
		case CutOffNode:
			return !e.Namespaces
		}
		return false
	})
}

// lines returns the lines of each node that can be broken.
func (e Engines) lines() []Line {
	return slices.DeleteFunc(slices.Clone(allLines), func(l Line) bool { return l == LineRedis && e.Redis == RedisCluster })
}

// leftOut returns a row with the reason for what the engines do not allow.
func (e Engines) leftOut() (rows []string) {
	if e.Redis == RedisCluster {
		rows = append(rows, "lines to redis: the servers of a cluster send each node to addresses of their own, past any proxy")
	}
	if e.Database == PostgresStandby {
		rows = append(rows, string(FullDisk)+": the tables move to another folder when the standby is promoted")
	}
	return rows
}
