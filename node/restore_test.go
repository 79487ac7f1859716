package node_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/wire"
)

func readFixture(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "before", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	data, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}

	return data
}

// realService returns the URL of a server that is there for tests.
func realService(t testing.TB, variable string) *url.URL {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
			t.Fatalf("%s must name a real server", variable)
		}
		t.Skipf("set %s (or use ci/with-services) for tests on real servers", variable)
	}

	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// createDatabase returns the address of an empty database, which is dropped
// when the test ends.
func createDatabase(t testing.TB) (address string) {
	t.Helper()
	server := realService(t, "RIDEHAIL_TEST_POSTGRES")

	admin := connectPostgres(t, server.String())
	name := "node_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})

	server.Path = "/" + name
	return server.String()
}

// restorePostgres loads the dump into a database of its own.
func restorePostgres(t *testing.T) (address string, db *pgx.Conn) {
	t.Helper()
	address = createDatabase(t)
	db = connectPostgres(t, address)

	for _, sql := range []string{string(readFixture(t, "postgres.sql.gz")), passXIDs} {
		if _, err := db.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}

	// The dump has emptied the search path of the first connection.
	return address, connectPostgres(t, address)
}

// passXIDs uses up transaction ids until the server is past those of the dump:
// the relay holds back rows of transactions that have not begun yet.
const passXIDs = `DO $$ BEGIN
  WHILE pg_current_xact_id() <= (SELECT max(xid) FROM public.outbox) LOOP COMMIT; END LOOP;
END $$`

func connectPostgres(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// openRedis opens a numbered database that no other package uses. It is emptied
// when the test ends.
func openRedis(t testing.TB) (address string, keys *redis.Client) {
	t.Helper()
	server := realService(t, "RIDEHAIL_TEST_REDIS")
	server.Path = "/9"

	opts, err := redis.ParseURL(server.String())
	if err != nil {
		t.Fatal(err)
	}

	keys = redis.NewClient(opts)
	t.Cleanup(func() {
		if err := keys.FlushDB(context.Background()).Err(); err != nil {
			t.Error(err)
		}
		keys.Close()
	})

	return server.String(), keys
}

// restoreRedis loads the keys into such a database.
func restoreRedis(t *testing.T) (address string, keys *redis.Client) {
	t.Helper()
	address, keys = openRedis(t)

	var dumps map[string][]byte
	if err := json.Unmarshal(readFixture(t, "redis.json.gz"), &dumps); err != nil {
		t.Fatal(err)
	}

	for key, dump := range dumps {
		if err := keys.RestoreReplace(t.Context(), key, 0, string(dump)).Err(); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}

	return address, keys
}

// startNode runs a node, with a payment provider, until the test ends.
func startNode(t testing.TB, cfg node.Config) *node.Node {
	t.Helper()
	n, _, _ := startNodeUntil(t, cfg)
	return n
}

// startNodeUntil runs such a node until stop is called or the test ends; then
// it closes ended.
func startNodeUntil(t testing.TB, cfg node.Config) (n *node.Node, stop func(), ended <-chan struct{}) {
	t.Helper()
	ledger, err := provider.OpenLedger("")
	if err != nil {
		t.Fatal(err)
	}

	bank := httptest.NewServer(provider.NewEmulator(provider.Config{Secret: "sk_test"}, ledger))
	t.Cleanup(bank.Close)

	cfg.City, cfg.Listen, cfg.Admin, cfg.Speed = "1", "127.0.0.1:0", "127.0.0.1:0", cmp.Or(cfg.Speed, 40)
	cfg.Provider, cfg.ProviderSecret, cfg.DevTokens = bank.URL, "sk_test", true
	cfg.Secret = []byte("of this test, with more than 32 bytes")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}

	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan *node.Node, 1), make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		failed = node.Run(ctx, cfg, func(n *node.Node) { ready <- n })
	}()

	t.Cleanup(func() {
		stop()
		if <-done; failed != nil {
			t.Error(failed)
		}
	})

	select {
	case n = <-ready:
	case <-done:
		t.FailNow() // the cleanup says why
	}
	return n, stop, done
}

func get(t *testing.T, address, bearer string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	return do(t, req)
}

func post(t testing.TB, address string, body any) map[string]any {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Content-Type", "application/json")
	return do(t, req)
}

func do(t testing.TB, req *http.Request) map[string]any {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", req.URL, res.Status, err, data)
	}
	return decode(t, data).(map[string]any)
}

func devToken(t testing.TB, n *node.Node, role, id string) string {
	t.Helper()
	return post(t, n.PublicURL()+"/v1/dev/tokens", map[string]string{"role": role, "id": id})["token"].(string)
}

func send(t *testing.T, phone *websocket.Conn, f *wire.ClientFrame) {
	t.Helper()
	data, err := wire.JSON.Append(nil, f)
	if err == nil {
		err = phone.WriteMessage(websocket.TextMessage, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// receive reads as far as the first frame of a kind.
func receive[T any](t *testing.T, phone *websocket.Conn, body func(*wire.ServerFrame) *T) *T {
	t.Helper()
	if err := phone.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}

	for {
		_, data, err := phone.ReadMessage()
		if err != nil {
			t.Fatal(fmt.Errorf("no %T came: %w", new(T), err))
		}

		f := new(wire.ServerFrame)
		if err := wire.JSON.Decode(data, f); err != nil {
			t.Fatal(err)
		}
		if found := body(f); found != nil {
			return found
		}
	}
}

// await polls a condition, and says what it saw when it waited in vain.
func await(t testing.TB, what string, holds func() bool, seen func() string) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("waited in vain for %s: %s", what, seen())
		}
	}
}
