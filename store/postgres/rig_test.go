package postgres

import (
	"context"
	"fmt"
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
	goleak.VerifyTestMain(tidy{m})
}

// tidy drops the template when all tests have run.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	code := t.M.Run()
	if template.name != "" {
		if err := admin(context.Background(), "DROP DATABASE "+template.name); err != nil {
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

// server is the address of the server to test on.
func server(t testing.TB) string {
	at := os.Getenv("RIDEHAIL_TEST_POSTGRES")
	switch {
	case at != "":
	case os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1":
		t.Fatal("RIDEHAIL_TEST_POSTGRES names no server, and RIDEHAIL_TEST_REQUIRE wants one; use ci/with-services")
	default:
		t.Skip("needs a Postgres: set RIDEHAIL_TEST_POSTGRES or use ci/with-services")
	}
	return at
}

// admin runs a statement outside of the test's databases.
func admin(ctx context.Context, sql string) error {
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

// bareDatabase creates a database without a schema, and returns its name and
// address.
func bareDatabase(t testing.TB, like string) (name, at string) {
	t.Helper()
	u, err := url.Parse(server(t))
	if err != nil {
		t.Fatal(err)
	}

	name = fmt.Sprintf("ridehail_test_%x", [16]byte(uuid.New()))
	if err := admin(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+like); err != nil {
		t.Fatal(err)
	}

	u.Path = "/" + name
	return name, u.String()
}

func drop(t testing.TB, name string) {
	t.Cleanup(func() {
		if err := admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
}

// createDatabase creates a migrated database of the test's own and returns its
// address.
func createDatabase(t testing.TB) string {
	t.Helper()
	server(t)

	template.once.Do(func() {
		var at string
		template.name, at = bareDatabase(t, "template0")
		template.err = Migrate(t.Context(), at)
	})

	if template.err != nil {
		t.Fatal(template.err)
	}
	name, at := bareDatabase(t, template.name)
	drop(t, name)
	return at
}

// hasty is an address whose commits do not wait for the disk, for tests that do
// not pull the plug.
func hasty(t testing.TB, at string) string {
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}

	q := u.Query()
	q.Set("synchronous_commit", "off")
	u.RawQuery = q.Encode()
	return u.String()
}

func open(t testing.TB, at string) *Store {
	t.Helper()
	s, err := Open(t.Context(), at, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTheStoreKeepsItsContract(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Store { return open(t, hasty(t, createDatabase(t))) })
}
