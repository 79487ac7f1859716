package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

func countTrips(t *testing.T, path string) (n int) {
	t.Helper()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.AuditTrips(t.Context(), func(trips.Trip) error { n++; return nil }); err != nil {
		t.Error(err)
	}
	if backlog, _, err := r.Backlog(t.Context()); err != nil || backlog != n {
		t.Errorf("backlog %d, %v", backlog, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return n
}

// TestAReaderSeesWhatACrashLeftInTheLog copies a file with its log as a program
// that was killed leaves them, and reads the copy.
func TestAReaderSeesWhatACrashLeftInTheLog(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "city.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Apply(t.Context(), newRequest("ada", "c1")); err != nil {
		t.Fatal(err)
	}

	crashed := filepath.Join(t.TempDir(), "city.db")
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, s.path+suffix, crashed+suffix)
	}
	for range 2 {
		if n := countTrips(t, crashed); n != 1 {
			t.Errorf("%d trips", n)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if readFile(t, crashed+suffix) != readFile(t, s.path+suffix) {
			t.Errorf("city.db%s was changed", suffix)
		}
	}
}

func TestAReaderOfAStillFileNoticesThatANodeBeganToWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.db")
	if err := Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	// Time passes between two changes, also for a coarse clock.
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}

	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), newRequest("ada", "c1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil {
		t.Error("it does not say so")
	}
	if n := countTrips(t, path); n != 1 {
		t.Errorf("%d trips", n)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.WriteFile(to, []byte(readFile(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes)
}
