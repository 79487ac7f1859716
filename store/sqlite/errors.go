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

// primaryCode returns SQLite's result code without its extension, or 0 for
// other errors.
func primaryCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// advice is what to do about each result code.
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

// explainError adds the file and the advice to an error of SQLite.
func explainError(path string, err error) error {
	if what, ok := advice[primaryCode(err)]; ok {
		return fmt.Errorf("database %s: %s: %w", path, what, err)
	}
	return err
}

// mapConstraint turns the violation of a unique index into the error of
// trips.Store.
func mapConstraint(err error) error {
	if primaryCode(err) != code.SQLITE_CONSTRAINT {
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
