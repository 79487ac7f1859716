package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/migrations"
)

// firstTables are the tables of the first schema.
var firstTables = []string{"trips", "trip_events", "commands", "outbox", "relay", "chat", "charges"}

// schema is what a database holds of ours.
type schema struct {
	version int64 // 0: none
	foreign bool  // another program has tables under our names
}

// readSchema reads what a database holds, without a change to it. It may run
// while another program migrates.
func readSchema(ctx context.Context, conn *pgx.Conn) (found schema, err error) {
	var isVersioned bool
	var tables int
	for range 2 {
		// One snapshot: the tables never come before the list of versions.
		err := conn.QueryRow(ctx, `SELECT coalesce(bool_or(relname = 'goose_db_version'), false),
			count(*) FILTER (WHERE relname = ANY ($1::text[]))
			FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND pg_table_is_visible(oid)`, firstTables).Scan(&isVersioned, &tables)
		if err != nil {
			return schema{}, err
		}
		if !isVersioned {
			return schema{foreign: tables > 0}, nil
		}

		// The second look counts the tables that a migration made meanwhile.
		err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&found.version)
		if err != nil {
			return schema{}, err
		}
		found.foreign = (tables == len(firstTables)) != (found.version > 0)
		if !found.foreign {
			break
		}
	}
	return found, nil
}

// checkSchema returns an error that says what to do, unless the schema is the
// one that this program was written for. An older one, or none, is an error if
// the program is not about to migrate.
func (s *server) checkSchema(migrates bool) error {
	newest := migrations.PostgresVersion
	name := "postgres " + listHosts(s.config.ConnConfig)
	switch found := s.schema; {
	case found.foreign:
		return fmt.Errorf("%s is a database of another program: name another database, it was not touched", name)
	case found.version > newest:
		return fmt.Errorf("%s has schema version %d, this program knows up to %d: use the newer ridehail that wrote it",
			name, found.version, newest)
	case migrates:
		return nil
	case found.version == 0:
		return fmt.Errorf("%s has no schema yet: run `ridehail migrate` on it, or name another database", name)
	case found.version < newest:
		return fmt.Errorf("%s has schema version %d, this program needs %d: run `ridehail migrate` on it",
			name, found.version, newest)
	}
	return nil
}
