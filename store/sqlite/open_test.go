package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/trips"
)

// openRaw opens a file beside the store, as another program would.
func openRaw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dataSourceName(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db interface {
	Exec(query string, args ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// checkOpenError checks that opening fails and tells the file and what to do.
func checkOpenError(t *testing.T, path string, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	if err == nil {
		s.Close()
		t.Fatal("it opens")
	}

	for _, word := range append(words, filepath.Base(path)) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestAFileThatIsNoDatabaseIsRefusedAndNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter.txt")
	letter := []byte(strings.Repeat("Dear Ada, the car was very clean. ", 100))
	if err := os.WriteFile(path, letter, 0o600); err != nil {
		t.Fatal(err)
	}

	checkOpenError(t, path, "not a SQLite database", "name another file")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(letter) {
		t.Errorf("the letter was changed: %v", err)
	}
}

func TestADatabaseOfAnotherProgramIsRefusedAndNotTouched(t *testing.T) {
	for name, make := range map[string]string{
		"with tables":      `CREATE TABLE songs (title TEXT)`,
		"with another id":  `PRAGMA application_id = 7`,
		"with our history": `CREATE TABLE goose_db_version (id INTEGER)`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "music.db")
			db := openRaw(t, path)
			mustExec(t, db, make)
			db.Close()
			before, _ := os.ReadFile(path)
			checkOpenError(t, path, "another program", "name another file")
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

func TestAFileOfANewerVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.db")
	if err := Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	mustExec(t, openRaw(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	checkOpenError(t, path, "version 9999", "newer ridehail")
}

func TestAFolderIsNotAFileAndAMissingFolderIsNamed(t *testing.T) {
	checkOpenError(t, t.TempDir(), "is a folder", "ridehail.db")
	checkOpenError(t, filepath.Join(t.TempDir(), "nowhere", "city.db"), "create its folder")
}

func TestMigratingTwiceChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.db")
	for range 2 {
		if err := Migrate(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileMayHaveAnyName(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"a b.db", "what?.db", "100%20.db", "c#.db", "x&mode=ro.db", "Ẹ̀kọ́.db"} {
		path := filepath.Join(t.TempDir(), name)
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatWasKeptIsThereWhenTheFileIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.db")
	var want trips.Event
	for i := range 2 {
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}

		if i == 0 {
			if want, err = s.Apply(t.Context(), newRequest("ada", "c1")); err != nil {
				t.Fatal(err)
			}
		} else if got, err := s.RecordedEvent(t.Context(), newRequest("ada", "c1").Key); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}

		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommitsReachTheDiskUnlessRelaxed(t *testing.T) {
	for o, want := range map[Options]int{{}: 2, {Relaxed: true}: 1} {
		s := openStore(t, o)
		pragmas := map[string]string{"synchronous": fmt.Sprint(want), "journal_mode": "wal", "foreign_keys": "1"}
		for pragma, want := range pragmas {
			var got string
			if err := s.writer.stmts.queryOne(t.Context(), `PRAGMA `+pragma, nil, &got); err != nil || got != want {
				t.Errorf("%+v: %s is %s, %v", o, pragma, got, err)
			}
		}
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "city.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Error(err)
	}

	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	if _, err := s.Apply(t.Context(), newRequest("ada", "c1")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.CheckWritable(t.Context()); err == nil {
		t.Error("it answers")
	}
}

func TestProgramsThatStartAtOnceOnANewFileAllGetIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "city.db")
	opened := make(chan error)
	for range 4 {
		go func() {
			s, err := Open(t.Context(), path, Options{})
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}

	for range 4 {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}
