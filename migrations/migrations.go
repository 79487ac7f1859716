// Package migrations is the schema as numbered SQL, one folder per engine,
// embedded. A file that was ever released is never edited: a change is the next
// number.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// The schema of each engine, with the numbered files at the root. Both have the
// same tables, so that one page explains both: trips says where each trip
// stands and is what the guards look at; trip_events holds every move with the
// whole trip after it; commands remembers what each command id led to; outbox
// holds what the world must still be told.
var (
	Postgres = engineFiles("postgres")
	SQLite   = engineFiles("sqlite")
)

func engineFiles(dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only a misspelt name can get here
	}
	return sub
}
