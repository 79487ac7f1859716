package node_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// The fixtures are what an earlier build left behind when it was killed in the
// middle of a busy city; testdata/before/make.sh says how they were made. They
// hold the names and forms of everything that is stored: SQL, JSON and Redis.

func TestANodeGoesOnWithASQLiteFileOfAnEarlierBuild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ridehail.db")
	if err := os.WriteFile(file, readFixture(t, "sqlite.db.gz"), 0o600); err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	checkPayloads(t, queryPayloads(t, func(query string, row func(topic string, payload []byte)) error {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var topic string
			var payload []byte
			if err := rows.Scan(&topic, &payload); err != nil {
				return err
			}
			row(topic, payload)
		}

		return rows.Err()
	}), "trip", "chat", "receipt", "alert")

	var last int64
	if err := db.QueryRowContext(t.Context(), "SELECT max(at) FROM outbox").Scan(&last); err != nil {
		t.Fatal(err)
	}

	hourLater := time.Until(time.UnixMicro(last).Add(time.Hour))
	runOnRestored(t, "sqlite.json.gz", node.Config{Database: file, ClockOffset: hourLater})
}

func TestANodeGoesOnWithAPostgresAndARedisOfAnEarlierBuild(t *testing.T) {
	database, db := restorePostgres(t)
	checkPayloads(t, queryPayloads(t, func(query string, row func(topic string, payload []byte)) error {
		rows, err := db.Query(t.Context(), query)
		if err != nil {
			return err
		}
		var topic string
		var payload []byte
		_, err = pgx.ForEachRow(rows, []any{&topic, &payload}, func() error { row(topic, payload); return nil })
		return err
	}), "trip", "chat", "alert")

	address, keys := restoreRedis(t)
	// The node forgets them when their time has come.
	revoked := keptRevocations(t, keys)

	runOnRestored(t, "postgres.json.gz", node.Config{Database: database, Redis: address}, func(n *node.Node) {
		checkDeadLetter(t, address)
		checkRevocation(t, revoked, keys, n.AdminURL())

		await(t, "all jobs of the streams done", func() bool {
			return keys.XLen(t.Context(), "ridehail:"+node.SettlementStream).Val() == 0 &&
				keys.XLen(t.Context(), "ridehail:"+node.SOSStream).Val() == 0
		}, func() string {
			return fmt.Sprint(keys.XPending(t.Context(), "ridehail:"+node.SettlementStream, "workers"))
		})
	})
}

// queryPayloads reads all JSON that is stored in a database, by topic.
func queryPayloads(t *testing.T, query func(query string, row func(topic string, payload []byte)) error) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	err := query("SELECT 'trip', payload FROM trip_events UNION ALL SELECT topic, payload FROM outbox",
		func(topic string, payload []byte) { all[topic] = append(all[topic], bytes.Clone(payload)) })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkPayloads shows that this build reads and writes stored JSON as the
// earlier one did: each payload, decoded and encoded again, is the same.
func checkPayloads(t *testing.T, all map[string][][]byte, topics ...string) {
	t.Helper()

	for _, topic := range topics {
		if len(all[topic]) == 0 {
			t.Errorf("the fixture has no payload of the topic %q", topic)
		}

		for _, payload := range all[topic] {
			value := map[string]any{"trip": new(trips.Event), "chat": new(chat.Message),
				"receipt": new(payments.Charge), "alert": new(sos.Alert)}[topic]
			if err := json.Unmarshal(payload, value); err != nil {
				t.Fatal(err)
			}

			again, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(decode(t, again), decode(t, payload)) {
				t.Errorf("a stored %s\n%s\nis written now as\n%s", topic, payload, again)
			}
		}
	}
}

func decode(t testing.TB, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

// runOnRestored runs a node on restored data and shows that what was left
// undone is done, that nothing is lost or changed, and that an open trip can be
// completed.
func runOnRestored(t *testing.T, golden string, cfg node.Config, more ...func(*node.Node)) {
	cfg.Name = "old-node" // so that it finds its unfinished jobs
	n := startNode(t, cfg)
	if report := runAudit(t, n, time.Time{}); report.Violations() != 0 || report.Trips < 10 {
		t.Error(report.Text())
	}

	awaitSettled(t, n)
	checkAnswers(t, n, decode(t, readFixture(t, golden)).(map[string]any))
	for _, check := range more {
		check(n)
	}

	completeOpenTrip(t, n)
	awaitSettled(t, n)
}

// awaitSettled waits until everything is told, charged and raised.
func awaitSettled(t *testing.T, n *node.Node) {
	t.Helper()
	var report audit.Report
	await(t, "no violation and nothing pending", func() bool {
		report = runAudit(t, n, farFuture)
		return report.Violations() == 0
	}, func() string { return report.Text() })
}

// farFuture is when nothing may be pending any more.
var farFuture = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func runAudit(t *testing.T, n *node.Node, at time.Time) audit.Report {
	t.Helper()
	report, err := audit.Run(t.Context(), n.Store(), audit.Config{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// checkAnswers asks over HTTP what the earlier build was asked. A question is
// "role id path". Lists may have grown, but what was in them is as it was.
func checkAnswers(t *testing.T, n *node.Node, golden map[string]any) {
	t.Helper()
	compared := 0
	for question, want := range golden {
		role, rest, _ := strings.Cut(question, " ")
		id, path, isPerson := strings.Cut(rest, " ")
		address, bearer := n.AdminURL()+rest, ""
		if isPerson {
			address, bearer = n.PublicURL()+path, devToken(t, n, role, id)
		}

		got := get(t, address, bearer)
		for list, items := range want.(map[string]any) {
			for _, item := range items.([]any) {
				item := item.(map[string]any)
				if item["state"] == string(trips.Requested) {
					continue // a dispatcher has it in hand
				}
				compared++
				isItem := func(now any) bool { return isSame(now.(map[string]any), item) }
				if !slices.ContainsFunc(got[list].([]any), isItem) {
					t.Errorf("%s said\n%v\nand now says\n%v", question, item, got[list])
				}
			}
		}
	}

	if compared < 40 {
		t.Errorf("only %d answers were compared", compared)
	}
}

// isSame compares two items but for the time at which an alert was raised: an
// alert that was in the outbox was raised by each build anew.
func isSame(a, b map[string]any) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	if a["raised_at"] != nil && b["raised_at"] != nil {
		delete(a, "raised_at")
		delete(b, "raised_at")
	}
	return reflect.DeepEqual(a, b)
}

func checkDeadLetter(t *testing.T, address string) {
	t.Helper()
	r, err := events.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	dead, err := r.DeadLetters(t.Context(), node.SettlementStream, 10)
	if err != nil || len(dead) != 1 || dead[0].ID != "no-such-trip" || string(dead[0].Payload) != "{}" ||
		!strings.Contains(dead[0].Reason, "no such trip") || dead[0].At.IsZero() {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
}

// checkRevocation revokes a user's tokens as the earlier build did, and
// compares what both keep.
func checkRevocation(t *testing.T, before []map[string]any, keys *redis.Client, admin string) {
	t.Helper()
	post(t, admin+"/admin/revocations", map[string]string{"role": "rider", "id": "another-rider"})

	after := keptRevocations(t, keys)
	i := slices.IndexFunc(after, func(r map[string]any) bool { return r["id"] == "another-rider" })
	if len(before) != 1 || before[0]["id"] != "old-rider-revoked" || i < 0 {
		t.Fatalf("kept %v before and %v after", before, after)
	}
	if was, is := slices.Sorted(maps.Keys(before[0])), slices.Sorted(maps.Keys(after[i])); !slices.Equal(was, is) {
		t.Errorf("a revocation was kept with the fields %v, and is with %v", was, is)
	}
}

func keptRevocations(t *testing.T, keys *redis.Client) (all []map[string]any) {
	t.Helper()
	kept, err := keys.ZRange(t.Context(), "ridehail:kept:revoked", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}

	for _, notice := range kept {
		all = append(all, decode(t, []byte(notice)).(map[string]any))
	}
	return all
}

// completeOpenTrip lets the driver of a trip that was under way come back with
// a phone that knows nothing, and end it.
func completeOpenTrip(t *testing.T, n *node.Node) {
	t.Helper()
	driven, err := n.Store().TripsWithDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	i := slices.IndexFunc(driven, func(t trips.Trip) bool { return t.State == trips.OnTrip })
	if i < 0 {
		t.Fatalf("no trip is under way: %+v", driven)
	}

	open := driven[i]
	phone, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(n.PublicURL(), "http")+"/v1/ws", //nolint:bodyclose // none after a handshake
		http.Header{"Sec-WebSocket-Protocol": {wire.SubprotocolJSON}})
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()

	send(t, phone, &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{
		Token: devToken(t, n, "driver", string(open.Driver))}}})
	welcome := receive(t, phone, (*wire.ServerFrame).GetWelcome)
	if got := welcome.GetTrip(); got.GetId() != string(open.ID) || got.GetVersion() != open.Version {
		t.Errorf("welcomed with %v, want the trip %s", got, open.ID)
	}

	// A node that has just started knows no car.
	complete := &wire.ClientFrame{Id: "complete", Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{
		TripId: string(open.ID), Step: wire.Step_COMPLETE}}}
	send(t, phone, complete)
	if ack := receive(t, phone, (*wire.ServerFrame).GetAck); ack.GetCode() != string(wire.CodeNoPosition) {
		t.Errorf("a car that is nowhere: %v", ack)
	}
	send(t, phone, &wire.ClientFrame{Body: &wire.ClientFrame_Fix{Fix: &wire.Fix{Seq: 1, AtMs: welcome.GetAtMs(),
		Point: &wire.Point{Lng: open.Dropoff.Lng, Lat: open.Dropoff.Lat}, Accuracy: 5}}})
	send(t, phone, complete)
	if ack := receive(t, phone, (*wire.ServerFrame).GetAck); ack.GetCode() != "" {
		t.Errorf("the trip cannot be completed: %v", ack)
	}
	if now, err := n.Store().Trip(t.Context(), open.ID); err != nil || now.State != trips.Completed {
		t.Errorf("the trip is %+v: %v", now, err)
	}
}
