package sqlite

import (
	"errors"
	"fmt"
	"strings"

	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/ridehail/ridehail/trips"
)

// ErrClosed is what writes return after Close.
var ErrClosed = errors.New("the store is closed")

// primary is SQLite's result code without its extension, 0 for errors that are not SQLite's.
func primary(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// advice says what to do about what SQLite only names.
var advice = map[int]string{
	code.SQLITE_NOTADB:   "it is not a SQLite database; name another file, it was not touched",
	code.SQLITE_CORRUPT:  "it is damaged; restore it from a backup, or move it away to begin anew",
	code.SQLITE_CANTOPEN: "it cannot be opened; create its folder, and let this user write there",
	code.SQLITE_READONLY: "it or its folder is read-only; let this user write there",
	code.SQLITE_PERM:     "this user may not use it; change its permissions",
	code.SQLITE_FULL:     "its disk is full; free some space, nothing committed is lost",
	code.SQLITE_IOERR:    "its disk fails or is full; look at the system's log",
	code.SQLITE_BUSY:     "another program has been writing to it for too long; stop that program",
}

// explain adds the file and what to do.
func explain(path string, err error) error {
	if what, ok := advice[primary(err)]; ok {
		return fmt.Errorf("database %s: %s: %w", path, what, err)
	}
	return err
}

// refusal names the promise that a guarded write of a trip would have broken.
func refusal(err error) error {
	if primary(err) != code.SQLITE_CONSTRAINT {
		return err
	}
	for column, named := range map[string]error{
		"trips.driver": trips.ErrTaken, "trips.rider": trips.ErrRiderBusy, "trips.id": trips.ErrConflict,
	} {
		if strings.Contains(err.Error(), "UNIQUE constraint failed: "+column) {
			return named
		}
	}
	return err
}
