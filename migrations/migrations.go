// Package migrations embeds the schema as numbered SQL, one folder per engine.
// A file that was ever released is never edited: a change gets the next number.
package migrations

import (
	"embed"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// The schema of each engine, with the numbered files at the root. Both have the
// same tables: trips holds the state of each trip, which the guarded updates
// check; trip_events holds every event with the whole trip after it; commands
// maps each command id to the event it led to; outbox holds the messages that
// other nodes must still be told.
var (
	Postgres = engineFiles("postgres")
	SQLite   = engineFiles("sqlite")
)

// The schema version that each engine must have for this program.
var (
	PostgresVersion = findNewest(Postgres)
	SQLiteVersion   = findNewest(SQLite)
)

// findNewest returns the highest number among the files.
func findNewest(files fs.FS) (newest int64) {
	names, err := fs.Glob(files, "*.sql")
	for _, name := range names {
		var version int64
		if version, err = goose.NumericComponent(name); err != nil {
			break
		}
		newest = max(newest, version)
	}
	if err != nil {
		panic(err) // only a misspelt name can get here
	}
	return newest
}

// engineFiles returns the numbered files of one engine at the root.
func engineFiles(dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only a misspelt name can get here
	}
	return sub
}
