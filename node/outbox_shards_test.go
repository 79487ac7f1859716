package node_test

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/node"
)

// TestTwoNodesShareTheOutbox waits until each of two nodes relays shards, and
// stops one: the other takes all of them.
func TestTwoNodesShareTheOutbox(t *testing.T) {
	slowtest.Require(t)
	address, _ := openRedis(t)
	database := createDatabase(t)
	db := connectPostgres(t, database)
	awaitHolders := func(want string) {
		t.Helper()
		var found string
		for late := time.Now().Add(30 * time.Second); found != want; {
			if time.Now().After(late) {
				t.Fatalf("the shards are relayed by %q, not %q", found, want)
			}
			if err := db.QueryRow(t.Context(), `SELECT coalesce(string_agg(DISTINCT holder, ' ' ORDER BY holder), '')
				FROM relay_shards WHERE expires_at > clock_timestamp()`).Scan(&found); err != nil {
				t.Fatal(err)
			}
			sleep.For(t.Context(), 20*time.Millisecond)
		}
	}

	startNode(t, node.Config{Name: "first", Database: database, Redis: address})
	awaitHolders("first")
	_, stop, ended := startNodeUntil(t, node.Config{Name: "second", Database: database, Redis: address})
	awaitHolders("first second")
	stop()
	<-ended
	awaitHolders("first")
}
