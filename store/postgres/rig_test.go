package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(templateCleaner{m})
}

// templateCleaner drops the template when all tests have run.
type templateCleaner struct{ *testing.M }

func (t templateCleaner) Run() int {
	code := t.M.Run()
	if template.name != "" {
		if err := execAdmin(context.Background(), "DROP DATABASE "+template.name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// template is a migrated database that the others are copies of.
var template struct {
	once sync.Once
	name string
	err  error
}

// serverAddress returns the address of the server to test on.
func serverAddress(t testing.TB) string { return testService(t, "RIDEHAIL_TEST_POSTGRES") }

// testService returns the address in an environment variable.
func testService(t testing.TB, variable string) string {
	t.Helper()
	at := os.Getenv(variable)
	switch {
	case at != "":
	case os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1":
		t.Fatal(variable + " names no server, and RIDEHAIL_TEST_REQUIRE wants one; use ci/with-services")
	default:
		t.Skip("set " + variable + " or use ci/with-services")
	}
	return at
}

// throughPgBouncer returns the address of the same database behind a pooler in
// transaction mode.
func throughPgBouncer(t testing.TB, at string) string {
	t.Helper()
	direct, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	pooled, err := url.Parse(testService(t, "RIDEHAIL_TEST_PGBOUNCER"))
	if err != nil {
		t.Fatal(err)
	}
	pooled.Path = direct.Path
	return pooled.String()
}

// execAdmin runs a statement outside of the test's databases.
func execAdmin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, os.Getenv("RIDEHAIL_TEST_POSTGRES"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// createBareDatabase creates a database without a schema, and returns its name
// and address.
func createBareDatabase(t testing.TB, like string) (name, at string) {
	t.Helper()
	u, err := url.Parse(serverAddress(t))
	if err != nil {
		t.Fatal(err)
	}

	name = fmt.Sprintf("ridehail_test_%x", [16]byte(uuid.New()))
	if err := execAdmin(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+like); err != nil {
		t.Fatal(err)
	}

	u.Path = "/" + name
	return name, u.String()
}

func dropAfterTest(t testing.TB, name string) {
	t.Cleanup(func() {
		if err := execAdmin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
}

// createDatabase creates a migrated database of the test's own and returns its
// address.
func createDatabase(t testing.TB) string {
	t.Helper()
	serverAddress(t)

	template.once.Do(func() {
		var at string
		template.name, at = createBareDatabase(t, "template0")
		template.err = Migrate(t.Context(), at)
	})

	if template.err != nil {
		t.Fatal(template.err)
	}
	name, at := createBareDatabase(t, template.name)
	dropAfterTest(t, name)
	return at
}

// relaxCommits returns an address whose commits do not wait for the disk, for
// tests that do not kill the server.
func relaxCommits(t testing.TB, at string) string {
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}

	q := u.Query()
	q.Set("synchronous_commit", "off")
	u.RawQuery = q.Encode()
	return u.String()
}

func openStore(t testing.TB, at string) *Store {
	t.Helper()
	s, err := Open(t.Context(), at, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTheStoreKeepsItsContract(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Store { return openStore(t, relaxCommits(t, createDatabase(t))) })
}
