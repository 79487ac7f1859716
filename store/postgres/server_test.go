package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/lab/process/processtest"
	"github.com/ridehail/ridehail/migrations"
	"github.com/ridehail/ridehail/trips"
)

// expectRefusal checks that an error says in one line what is wrong.
func expectRefusal(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("it was not refused; wanted %q", says)
		return
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

// openErrors returns why a node and a command cannot use a database.
func openErrors(t *testing.T, at string) []error {
	t.Helper()
	s, err := Open(t.Context(), at, Options{})
	if err == nil {
		s.Close()
	}
	return []error{Migrate(t.Context(), at), err}
}

func TestAStandbyIsRefusedByNodesAndReadByAudits(t *testing.T) {
	primary := processtest.Postgres(t)
	if err := Migrate(t.Context(), primary.URL); err != nil {
		t.Fatal(err)
	}
	applyMove(t, openStore(t, primary.URL), newRequest(t, "ada"))
	standby := processtest.Standby(t, primary)

	for _, err := range openErrors(t, standby.URL) {
		expectRefusal(t, err, "is a standby", "target_session_attrs=read-write")
	}
	for _, err := range openErrors(t, standby.URL+"&target_session_attrs=read-write") {
		expectRefusal(t, err, "none of these servers takes writes now")
	}

	r, err := OpenReader(t.Context(), standby.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := 0
	err = r.AuditTrips(t.Context(), func(trips.Trip) error { read++; return nil })
	if err != nil || read != 1 {
		t.Errorf("%d trips, %v", read, err)
	}
	if n, _, err := r.Backlog(t.Context()); err != nil || n != 1 {
		t.Errorf("backlog %d, %v", n, err)
	}

	// A list of servers is walked past the standby, by migrations as well.
	both := bothHosts(&failedServers{primary: standby, standby: primary})
	if err := Migrate(t.Context(), both); err != nil {
		t.Error(err)
	}
	applyMove(t, openStore(t, both), newRequest(t, "bisi"))
}

func TestAReaderCannotWrite(t *testing.T) {
	at := createDatabase(t)
	r, err := OpenReader(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.pool.Exec(t.Context(), `DELETE FROM trips`); err == nil {
		t.Error("it wrote")
	}
}

func TestADatabaseThatOnlyReadsIsRefused(t *testing.T) {
	at := createDatabase(t)
	setOnDatabase(t, at, "SET default_transaction_read_only = on")
	for _, err := range openErrors(t, at) {
		expectRefusal(t, err, "only reads", "default_transaction_read_only")
	}
}

func setOnDatabase(t testing.TB, at, what string) {
	t.Helper()
	if err := execAdmin(t.Context(), "ALTER DATABASE "+databaseName(t, at)+" "+what); err != nil {
		t.Fatal(err)
	}
}

func databaseName(t testing.TB, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// runIn runs statements in a database.
func runIn(t testing.TB, at string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at)
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

func TestASchemaOfANewerVersionIsRefused(t *testing.T) {
	at := createDatabase(t)
	runIn(t, at, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	says := fmt.Sprintf("has schema version 9999, this program knows up to %d: use the newer ridehail that wrote it",
		migrations.PostgresVersion)
	_, err := OpenReader(t.Context(), at)
	for _, err := range append(openErrors(t, at), err) {
		expectRefusal(t, err, says)
	}
}

// TestAnOlderSchemaNeedsARightToMigrate has a role that may use every table and
// may make none.
func TestAnOlderSchemaNeedsARightToMigrate(t *testing.T) {
	at := createDatabase(t)
	user := "clerk_" + databaseName(t, at)
	runIn(t, at, `CREATE ROLE `+user+` LOGIN`, `GRANT ALL ON ALL TABLES IN SCHEMA public TO `+user)
	t.Cleanup(func() {
		runIn(withoutCancel{t}, at, `DROP OWNED BY `+user, `DROP ROLE `+user)
	})
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)

	// With the schema as it is, it needs no such right.
	if err := Migrate(t.Context(), u.String()); err != nil {
		t.Error(err)
	}
	s := openStore(t, u.String())
	applyMove(t, s, newRequest(t, "ada"))
	s.Close()

	runIn(t, at, `DROP TABLE alerts`, fmt.Sprint(`DELETE FROM goose_db_version WHERE version_id > `, migrations.PostgresVersion-1))
	expectRefusal(t, Migrate(t.Context(), u.String()), "grant the right to the role")
	_, err = Open(t.Context(), u.String(), Options{})
	expectRefusal(t, err, "this program needs", "ridehail migrate")
}

// withoutCancel is a test whose context has not ended when it cleans up.
type withoutCancel struct{ testing.TB }

func (withoutCancel) Context() context.Context { return context.Background() }

func TestANodeStartsOnASchemaThatAnotherOneMakesMeanwhile(t *testing.T) {
	name, at := createBareDatabase(t, "template0")
	dropAfterTest(t, name)
	migrated := make(chan error, 1)
	go func() { migrated <- Migrate(t.Context(), at) }()
	for {
		s, err := Open(t.Context(), at, Options{})
		if err == nil {
			s.Close()
			break
		}
		if !strings.Contains(err.Error(), "ridehail migrate") {
			t.Fatal(err)
		}
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}

// troubles keep a store that was ready from committing, until end is called.
var troubles = map[string]struct {
	begin func(t *testing.T, at string) (end func())
	says  string
}{
	"the database only reads": {func(t *testing.T, at string) func() {
		setOnDatabase(t, at, "SET default_transaction_read_only = on")
		terminateSessions(t, at)
		return func() { setOnDatabase(t, at, "RESET default_transaction_read_only") }
	}, "only reads"},
	"a table is locked": {func(t *testing.T, at string) func() {
		conn, err := pgx.Connect(t.Context(), at)
		if err == nil {
			_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE relay`)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { conn.Close(t.Context()) }
	}, "nothing can be committed"},
	"writes fail": {func(t *testing.T, at string) func() {
		runIn(t, at, failFunction, `CREATE TRIGGER fail BEFORE UPDATE ON relay EXECUTE FUNCTION fail()`)
		return func() { runIn(t, at, `DROP FUNCTION fail CASCADE`) }
	}, "free space"},
}

const failFunction = `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN RAISE 'could not extend file' USING errcode = 'disk_full'; END$$`

func TestAReadyStoreNoticesThatNothingCanBeCommitted(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			at := createDatabase(t)
			s := openStore(t, at)
			if err := s.CheckWritable(t.Context()); err != nil {
				t.Fatal(err)
			}

			end := trouble.begin(t, at)
			s.nextWrite.Store(0) // the ten seconds are over
			expectRefusal(t, s.CheckWritable(t.Context()), trouble.says)

			end()
			if err := s.CheckWritable(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			applyMove(t, s, newRequest(t, "ada"))
		})
	}
}

func terminateSessions(t *testing.T, at string) {
	t.Helper()
	if err := execAdmin(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '`+
		databaseName(t, at)+`' AND backend_type = 'client backend'`); err != nil {
		t.Fatal(err)
	}
}

func TestAfterAFullDiskAStoreIsReadyWhenTablesGrow(t *testing.T) {
	at := createDatabase(t)
	s := openStore(t, at)
	runIn(t, at, failFunction, `CREATE TRIGGER fail BEFORE INSERT ON outbox EXECUTE FUNCTION fail()`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.Apply(ctx, newRequest(t, "ada")); err == nil {
		t.Error("it was committed")
	}
	for range 2 {
		expectRefusal(t, s.CheckWritable(t.Context()), "free space on the server's disk", "tables cannot grow")
	}

	runIn(t, at, `DROP FUNCTION fail CASCADE`)
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Error(err)
	}
	if n, _, err := s.Backlog(t.Context()); err != nil || n != 0 {
		t.Errorf("the check left %d messages, %v", n, err)
	}
	applyMove(t, s, newRequest(t, "ada"))
}

func TestAPoolHasTheSizeOfTheCallerElseOfTheAddress(t *testing.T) {
	at := createDatabase(t)
	for _, c := range []struct {
		query string
		asked int
		want  int
	}{{"", 0, 16}, {"&pool_max_conns=7", 0, 7}, {"&pool_max_conns=7", 3, 3}, {"", 5, 5}} {
		if err := Migrate(t.Context(), at+c.query); err != nil {
			t.Error(err)
		}
		s, err := Open(t.Context(), at+c.query, Options{MaxConns: c.asked})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.PoolStats().Max; got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
		s.Close()
	}
}

// TestTheSmallestPoolsDoNotBlock has many people ride at once through one and
// two connections.
func TestTheSmallestPoolsDoNotBlock(t *testing.T) {
	for _, n := range []int{1, 2} {
		s, err := Open(t.Context(), createDatabase(t), Options{MaxConns: n})
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error)
		const people = 16
		for i := range people {
			go func() {
				_, err := rideOnce(t.Context(), fmt.Sprint("person ", i), s.Apply)
				errs <- errors.Join(err, s.CheckWritable(t.Context()))
			}()
		}
		for range people {
			if err := <-errs; err != nil {
				t.Errorf("%d connections: %v", n, err)
			}
		}
		if stats := s.PoolStats(); stats.Max != n || stats.Total > n || stats.Waits == 0 || stats.WaitedFor == 0 {
			t.Errorf("%+v", stats)
		}
		s.Close()
	}
}
