package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
)

// childFile makes this test binary a program that writes to the file it names
// until it is killed.
const childFile = "RIDEHAIL_SQLITE_CHILD"

func init() {
	path := os.Getenv(childFile)
	if path == "" {
		return
	}

	s, err := Open(context.Background(), path, Options{Relaxed: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}

	var out sync.Mutex
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				ev, err := s.Apply(context.Background(), newRequest(trips.RiderID(fmt.Sprint("rider-", i, "-", n)), "ask"))
				out.Lock()
				fmt.Println(ev.Trip.ID, err)
				out.Unlock()
			}
		})
	}

	all.Wait()
}

func TestAKilledProgramLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "city.db")
	for range 2 {
		answered := runUntilKilled(t, path, 200)
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}

		for _, id := range answered {
			if _, err := s.Trip(t.Context(), id); err != nil {
				t.Error(err)
			}
		}

		report, err := audit.Run(t.Context(), s, audit.Config{})
		if err != nil || report.Violations() != 0 || report.Trips < len(answered) {
			t.Errorf("%v\n%s", err, report.Text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// runUntilKilled runs a program that writes until it gave n answers, kills it
// and returns the trips it answered for.
func runUntilKilled(t *testing.T, path string, n int) (answered []trips.TripID) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childFile+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}

	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, verdict, whole := strings.Cut(lines.Text(), " ")
		if !whole || verdict != "<nil>" {
			if len(answered) < n {
				t.Fatalf("the program says %q", lines.Text())
			}
			continue // cut off by the kill
		}

		if answered = append(answered, trips.TripID(id)); len(answered) == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}

	_ = child.Wait() // it was killed
	if len(answered) < n {
		t.Fatalf("it answered %d times only", len(answered))
	}
	return answered
}
