package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/trips"
)

// writesWithin is how soon a write must succeed once a server takes writes.
const writesWithin = 3 * time.Second

// failover is a way in which the writes of a store end and come back.
type failover struct {
	name string
	// start returns the address for the store.
	start func(t testing.TB, f *failedServers) string
	// stop ends writes, and resume returns as soon as a server takes them again.
	stop, resume func(t testing.TB, f *failedServers)
	keepsWriting bool // stop does not end writes
	failsOver    bool // to the standby
}

// failedServers are the servers of one try.
type failedServers struct{ primary, standby *processtest.Server }

var failovers = []failover{
	{name: "read-only and back by reload",
		start:  startOne,
		stop:   func(t testing.TB, f *failedServers) { setReadOnly(t, f, "ALTER SYSTEM SET", " = on") },
		resume: func(t testing.TB, f *failedServers) { setReadOnly(t, f, "ALTER SYSTEM RESET", "") }},
	{name: "sessions of an old primary",
		start: startOne,
		stop: func(t testing.TB, f *failedServers) {
			// Sessions that begin now only read for as long as they live.
			execOn(t, f.primary, "ALTER DATABASE postgres SET default_transaction_read_only = on", endSessions)
		},
		resume: func(t testing.TB, f *failedServers) {
			execOn(t, f.primary, "SET default_transaction_read_only = off", "ALTER DATABASE postgres RESET default_transaction_read_only")
		}},
	{name: "standby promoted",
		start:  startBoth,
		stop:   func(_ testing.TB, f *failedServers) { f.primary.Kill() },
		resume: func(t testing.TB, f *failedServers) { execOn(t, f.standby, "SELECT pg_promote()") }},
	{name: "standby promoted while the primary hangs", failsOver: true,
		start:  startBoth,
		stop:   func(_ testing.TB, f *failedServers) { f.primary.Pause() },
		resume: func(t testing.TB, f *failedServers) { execOn(t, f.standby, "SELECT pg_promote()") }},
	{name: "all sessions ended", keepsWriting: true,
		start:  startOne,
		stop:   func(testing.TB, *failedServers) {},
		resume: func(t testing.TB, f *failedServers) { execOn(t, f.primary, endSessions) }},
	{name: "server restarted",
		start:  startOne,
		stop:   func(_ testing.TB, f *failedServers) { f.primary.Kill() },
		resume: func(_ testing.TB, f *failedServers) { f.primary.Start() }},
}

const endSessions = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
	WHERE datname = 'postgres' AND backend_type = 'client backend' AND pid <> pg_backend_pid()`

func startOne(t testing.TB, f *failedServers) string {
	f.primary = processtest.Postgres(t)
	migrateServer(t, f.primary)
	return f.primary.URL
}

func startBoth(t testing.TB, f *failedServers) string {
	startOne(t, f)
	f.standby = processtest.Standby(t, f.primary)
	return bothHosts(f)
}

func migrateServer(t testing.TB, s *processtest.Server) {
	t.Helper()
	if err := Migrate(t.Context(), s.URL); err != nil {
		t.Fatal(err)
	}
}

// bothHosts is the address of a primary and a standby.
func bothHosts(f *failedServers) string {
	return strings.Replace(f.primary.URL, "@"+f.primary.Address, "@"+f.primary.Address+","+f.standby.Address, 1) +
		"&target_session_attrs=read-write"
}

func setReadOnly(t testing.TB, f *failedServers, verb, value string) {
	execOn(t, f.primary, verb+" default_transaction_read_only"+value, "SELECT pg_reload_conf()")

	// A reload reaches new sessions at some time after it was asked for.
	want := "off"
	if value != "" {
		want = "on"
	}
	for got := ""; got != want; time.Sleep(time.Millisecond) {
		got = queryOn(t, f.primary, "SHOW default_transaction_read_only")
	}
}

// execOn runs statements on a session of its own.
func execOn(t testing.TB, s *processtest.Server, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func queryOn(t testing.TB, s *processtest.Server, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// measure fails over once and returns how long a client that repeats its
// command waits until it is done, from when a server takes writes again.
func (way *failover) measure(t testing.TB) time.Duration {
	t.Helper()
	var f failedServers
	s := openStore(t, way.start(t, &f))
	fillPool(t, s)

	way.stop(t, &f)
	if !way.keepsWriting {
		expectNoWrites(t, s)
	}
	way.resume(t, &f)

	begin := time.Now()
	m := newRequest(t, "after")
	ev, err := s.Apply(t.Context(), m)
	for err != nil && time.Since(begin) < 10*writesWithin {
		time.Sleep(5 * time.Millisecond)
		ev, err = s.Apply(t.Context(), m)
	}
	took := time.Since(begin)
	if err != nil {
		t.Fatalf("after %v: %v", took, err)
	}

	checkKeptOnce(t, s, ev)
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Error(err)
	}
	if way.failsOver {
		f.primary.Kill() // what hangs would be waited for
	}
	return took
}

// fillPool opens all sessions of a store.
func fillPool(t testing.TB, s *Store) {
	t.Helper()
	applyMove(t, s, newRequest(t, "before"))
	onAllSessions(t, s, `SELECT`)
}

// onAllSessions opens all sessions of a store and runs a statement on each.
func onAllSessions(t testing.TB, s *Store, sql string, args ...any) {
	t.Helper()
	for range s.PoolStats().Max {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// expectNoWrites returns when the store has noticed that nothing can be
// written, and says so.
func expectNoWrites(t testing.TB, s *Store) {
	t.Helper()
	for err := error(nil); err == nil; {
		// No command is given more time.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = s.Apply(ctx, newRequest(t, uuid.NewString()))
		cancel()
	}
	if err := s.CheckWritable(t.Context()); err == nil {
		t.Error("it says that it can write")
	}
}

func TestWritesSucceedSoonAfterAFailover(t *testing.T) {
	for _, way := range failovers {
		t.Run(way.name, func(t *testing.T) {
			took := way.measure(t)
			t.Logf("the first write took %v", took)
			if took > writesWithin {
				t.Error("that is too long")
			}
		})
	}
}

// BenchmarkFailover fails over ten times in each way. It reports the seconds
// until the first write, from when a server takes writes again. With -short it
// fails over once.
func BenchmarkFailover(b *testing.B) {
	tries := 10
	if testing.Short() {
		tries = 1
	}
	for _, way := range failovers {
		b.Run(strings.ReplaceAll(way.name, " ", "-"), func(b *testing.B) {
			var all []string
			var sum, worst time.Duration
			for range tries {
				took := way.measure(b)
				sum, worst = sum+took, max(worst, took)
				all = append(all, fmt.Sprintf("%.3f", took.Seconds()))
			}
			b.Logf("seconds: %s", strings.Join(all, " "))
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sum.Seconds()/float64(tries), "mean-s")
			b.ReportMetric(worst.Seconds(), "worst-s")
		})
	}
}

func TestSessionsThatTheServerEndedCostNoReadAndNoWrite(t *testing.T) {
	const terminate = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`
	for name, end := range map[string]func(*testing.T, *Store, *Store){
		"terminated": func(t *testing.T, _, observer *Store) {
			if _, err := observer.pool.Exec(t.Context(), terminate); err != nil {
				t.Fatal(err)
			}
		},
		"idle for too long": func(t *testing.T, s, observer *Store) {
			onAllSessions(t, s, `SET idle_session_timeout = '1ms'`)
			waitForSessions(t, observer, 1)
		},
		"idle in a transaction": func(t *testing.T, s, observer *Store) {
			onAllSessions(t, s, `SET idle_in_transaction_session_timeout = '1ms'; BEGIN`)
			waitForSessions(t, observer, 1)
		},
		"without its statements": func(t *testing.T, s, _ *Store) { onAllSessions(t, s, `DEALLOCATE ALL`) },
	} {
		t.Run(name, func(t *testing.T) {
			at := createDatabase(t)
			s, observer := openStore(t, at), openStore(t, at)
			applyMove(t, s, newRequest(t, "before"))
			onAllSessions(t, s, currentTripSQL+`WHERE t.id = $1`, "none")
			onAllSessions(t, s, resumeStatesSQL, []string{"rider"}, []string{"ada"}, []string{""})
			end(t, s, observer)

			for range 2 * s.PoolStats().Max {
				if _, err := s.Trip(t.Context(), "none"); !errors.Is(err, trips.ErrNotFound) {
					t.Errorf("a read answers %v", err)
				}
				if _, _, err := s.ResumeStates(t.Context(), []trips.ResumeQuery{{Who: trips.Rider("ada")}}); err != nil {
					t.Errorf("a welcome answers %v", err)
				}
			}
			applyMove(t, s, newRequest(t, "after"))
		})
	}
}

// waitForSessions returns when the database has n sessions.
func waitForSessions(t *testing.T, observer *Store, n int) {
	t.Helper()
	for count := 0; count != n; time.Sleep(time.Millisecond) {
		if err := observer.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend'`).Scan(&count); err != nil {
			t.Fatal(err)
		}
	}
}
