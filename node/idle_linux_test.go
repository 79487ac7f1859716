package node_test

import (
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/node"
)

// idleCost is what was asked of the servers, and this process's CPU time, up to
// a moment.
type idleCost struct {
	at                     time.Time
	commands, transactions int64
	cpu                    time.Duration
}

func readIdleCost(t *testing.T, keys *redis.Client, db *pgx.Conn) (c idleCost) {
	t.Helper()
	info, err := keys.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`total_commands_processed:(\d+)`).FindStringSubmatch(info); found != nil {
		c.commands, _ = strconv.ParseInt(found[1], 10, 64) // digits
	}

	// A session reports its own transactions once a second.
	const ask = `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`
	if err := db.QueryRow(t.Context(), ask).Scan(&c.transactions); err != nil {
		t.Fatal(err)
	}

	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	c.cpu, c.at = time.Duration(used.Utime.Nano()+used.Stime.Nano()), time.Now()
	return c
}

// TestAnIdleNodeAsksLittle measures a node without phones: commands to Redis and
// transactions of Postgres, reads included, and its CPU.
func TestAnIdleNodeAsksLittle(t *testing.T) {
	slowtest.Require(t)
	server, database := processtest.Redis(t), createDatabase(t)
	keys := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { _ = keys.Close() })
	startNode(t, node.Config{Name: "idle", Database: database, Redis: server.URL})
	db := connectPostgres(t, database)

	time.Sleep(2 * time.Second) // what a node does once, at its start
	before := readIdleCost(t, keys, db)
	time.Sleep(8 * time.Second) // the span that is measured
	after := readIdleCost(t, keys, db)

	seconds := after.at.Sub(before.at).Seconds()
	commands := float64(after.commands-before.commands-1) / seconds
	transactions := float64(after.transactions-before.transactions-1) / seconds
	t.Logf("an idle node: %.1f commands/s to Redis, %.1f transactions/s of Postgres, %.2f %% of a core",
		commands, transactions, 100*(after.cpu-before.cpu).Seconds()/seconds)
	if commands > 17 || transactions > 8 {
		t.Error("that is more than an idle node needs")
	}
}
