package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ storetest.Store = (*Store)(nil)
	_ audit.Source    = (*Store)(nil)
)

// empty is a new file's bytes: creating one takes a dozen waits for the disk,
// and nearly every test wants one.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "ridehail-sqlite")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	path := filepath.Join(dir, "empty.db")
	if err := Migrate(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// openStore returns a new store in a folder of the test's own.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	bytes, err := empty()
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "city.db")
	if err := os.WriteFile(path, bytes, 0o600); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

func TestSQLiteKeepsEveryPromiseOfAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Store { return openStore(t, Options{Relaxed: true}) })
}
