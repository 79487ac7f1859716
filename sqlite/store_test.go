package sqlite

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/audit"
	"github.com/ridehail/ridehail/trips/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ storetest.Store = (*Store)(nil)
	_ audit.Source    = (*Store)(nil)
)

// open returns a new store in a folder of the test's own.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "city.db"), o)
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
	storetest.Run(t, func(t testing.TB) storetest.Store { return open(t, Options{Relaxed: true}) })
}
