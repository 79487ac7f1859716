package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/wire"
)

// commandsOnExisting are the commands that must not create a database, nor
// bring its schema up to date.
var commandsOnExisting = map[string][]string{
	"audit":     {"audit"},
	"refund":    {"refund", "--trip", "t", "--reason", "r", "--provider", "http://127.0.0.1:1"},
	"operators": {"operators", "--refund", "1", "--provider", "http://127.0.0.1:1", "--admin", "http://127.0.0.1:1"},
}

// wrongFiles are files that are no database of this version, and what each is
// told.
var wrongFiles = map[string]struct {
	make func(t *testing.T, path string)
	says string
}{
	"missing":         {func(*testing.T, string) {}, "no such file"},
	"in no folder":    {func(t *testing.T, path string) {}, "no such file"},
	"empty":           {func(t *testing.T, path string) { writeFile(t, path, "") }, "is empty"},
	"a folder":        {func(t *testing.T, path string) { makeFolder(t, path) }, "is a folder: name a file in it"},
	"no database":     {func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("Dear Ada! ", 100)) }, "name another file"},
	"another program": {func(t *testing.T, path string) { sqliteExec(t, path, `CREATE TABLE songs (title TEXT)`) }, "another program"},
	"newer": {func(t *testing.T, path string) {
		migrateFile(t, path)
		sqliteExec(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	}, "has schema version 9999, this program knows up to"},
	"older": {func(t *testing.T, path string) {
		migrateFile(t, path)
		sqliteExec(t, path, `DELETE FROM goose_db_version WHERE version_id > 2; DROP TABLE alerts`)
	}, "has schema version 2, this program needs"},
}

func TestCommandsRefuseAWrongFileAndChangeNothing(t *testing.T) {
	for command, args := range commandsOnExisting {
		for name, wrong := range wrongFiles {
			t.Run(command+" of a file that is "+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "city.db")
				if name == "in no folder" {
					path = filepath.Join(filepath.Dir(path), "none", "city.db")
				}
				wrong.make(t, path)
				before := readFolder(t, path)
				checkRefused(t, exitUsage, wrong.says, append(args, "--database", path)...)
				if after := readFolder(t, path); !maps.Equal(before, after) {
					t.Errorf("the folder had %v and has %v", before, after)
				}
			})
		}
	}
}

// checkRefused runs a command that must fail with one line that says why.
func checkRefused(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	p := start(t, args...)
	if got := p.wait(t); got != code || !strings.Contains(p.logs.String(), says) || p.out.String() != "" {
		t.Errorf("exit %d, want %d and %q: %s%s", got, code, says, p.out.String(), p.logs.String())
	}
	if lines := strings.Count(p.logs.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, p.logs.String())
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func makeFolder(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func migrateFile(t *testing.T, path string) {
	t.Helper()
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
}

func sqliteExec(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// readFolder returns each file in the folder of a path: when it was written,
// and its bytes.
func readFolder(t *testing.T, path string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(filepath.Dir(path), func(name string, info os.FileInfo, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		files[name] = info.ModTime().String()
		if info.Mode().IsRegular() {
			bytes, err := os.ReadFile(name)
			files[name] += string(bytes)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAnAuditLeavesTheFileOfACityAsItIs(t *testing.T) {
	file := paidTrip(t, emulator(t).URL)
	before := readFolder(t, file)
	p := start(t, "audit", "--database", file)
	if code := p.wait(t); code != exitDone || !strings.Contains(p.out.String(), "in 1 trips") {
		t.Errorf("exit %d: %s%s", code, p.out.String(), p.logs.String())
	}
	if after := readFolder(t, file); !maps.Equal(before, after) {
		t.Error("the folder has changed")
	}
}

func TestAnAuditSeesWhatARunningNodeHasNotWrittenBack(t *testing.T) {
	file, at := paidTrip(t, emulator(t).URL), freeAddress(t)
	node := start(t, "serve", "--dev-tokens", "--listen", at, "--admin", "127.0.0.1:0", "--database", file)
	awaitReady(t, node, "http://"+at)
	rider := dial(t, "http://"+at, "rider", "bisi")
	rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{
		RequestTrip: &wire.RequestTrip{Pickup: &wire.Point{Lng: 3.384979, Lat: 6.408022}, Dropoff: &wire.Point{Lng: 3.393263, Lat: 6.484199}}}})

	p := start(t, "audit", "--database", file)
	if code := p.wait(t); code != exitDone || !strings.Contains(p.out.String(), "in 2 trips") {
		t.Errorf("exit %d: %s%s", code, p.out.String(), p.logs.String())
	}
}

// wrongDatabases are databases of a Postgres that are not of this version.
var wrongDatabases = map[string]struct {
	sql  []string
	says string
}{
	"empty":                  {nil, "has no schema yet: run `ridehail migrate`"},
	"another program's":      {[]string{`CREATE TABLE songs (title text)`}, "has no schema yet"},
	"of a table of our name": {[]string{`CREATE TABLE trips (title text)`}, "a database of another program"},
	"of another history": {[]string{`CREATE TABLE goose_db_version (version_id bigint)`, `INSERT INTO goose_db_version VALUES (3)`},
		"a database of another program"},
}

func TestCommandsRefuseAWrongPostgresAndChangeNothing(t *testing.T) {
	for name, wrong := range wrongDatabases {
		for command, args := range commandsOnExisting {
			t.Run(command+" of a database that is "+name, func(t *testing.T) {
				database, _ := realServices(t)
				execSQL(t, database, wrong.sql...)
				before := listTables(t, database)
				checkRefused(t, exitUnreachable, wrong.says, append(args, "--database", database)...)
				if after := listTables(t, database); after != before {
					t.Errorf("tables %s, before %s", after, before)
				}
			})
		}
	}
}

func TestCommandsSayThatADatabaseDoesNotExist(t *testing.T) {
	database, _ := realServices(t)
	at, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/nothing_of_that_name"
	for _, args := range commandsOnExisting {
		checkRefused(t, exitUnreachable, "create the database, or correct its name", append(args, "--database", at.String())...)
	}
	checkRefused(t, exitUnreachable, "create the database", "migrate", "--database", at.String())
	checkRefused(t, exitUnreachable, "create the database", "serve", "--dev-tokens", "--database", at.String())
}

func execSQL(t *testing.T, database string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", sql, err))
		}
	}
}

func listTables(t *testing.T, database string) (tables string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class
		WHERE relnamespace = 'public'::regnamespace`).Scan(&tables)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestTooFewDatabaseConnectionsAreRefused(t *testing.T) {
	for _, command := range []string{"serve", "demo"} {
		for _, n := range []string{"0", "-1", "1", "9999999999"} {
			p := start(t, command, "--database-connections="+n)
			if code := p.wait(t); code != exitUsage || !strings.Contains(p.logs.String(), "give 2 to 10000") {
				t.Errorf("%s with %s: exit %d, %s", command, n, code, p.logs.String())
			}
		}
	}
}
