package simulators

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

func isSOS(f *wire.ClientFrame) bool { return f.GetSos() != nil }

func seenFrame(f *wire.ClientFrame) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_SosSeen{SosSeen: &wire.SosSeen{Id: f.Id, TripId: f.GetSos().TripId}}}
}

// reservingScript is riderScript with a driver for every trip.
func reservingScript(also func(c *fakeConn, f *wire.ClientFrame)) func(c *fakeConn, f *wire.ClientFrame) {
	return riderScript(func(c *fakeConn, f *wire.ClientFrame) {
		if isRequest(f) {
			c.node.trip.DriverId = "d"
			c.moveTrip(client.StateReserved, "reserved")
		}
		also(c, f)
	})
}

func TestARiderWhoCallsForHelpStaysUntilAnOperatorHasSeenIt(t *testing.T) {
	j, records := openJournal(t)
	var call *wire.ClientFrame
	var late bool
	n := newFakeNode(t, reservingScript(func(c *fakeConn, f *wire.ClientFrame) {
		switch {
		case isSOS(f) && call == nil:
			call = f
			c.sendTripAck(f, "")
			c.moveTrip(client.StateCancelled, "system_cancellation")

			time.AfterFunc(50*time.Millisecond, func() {
				c.node.mu.Lock()
				defer c.node.mu.Unlock()
				late = true
				c.sendFrame(seenFrame(f))
			})
		}
	}))

	stats := NewStats()
	stop := startRiders(t, n, RiderConfig{PerMinute: 60, Speed: 300, SOS: 1, Stats: stats, Journal: j})
	n.waitUntil("the first rider hears of the operator", func() bool { return stats.Snapshot().HelpSeen == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := stats.Snapshot(); s.HelpAsked < 1 || s.Violations != 0 || !n.holdsLocked(func() bool { return late }) {
		t.Errorf("%+v", s)
	}

	want := []string{"invoke/sos", "ok/sos", "seen"}
	all := records()
	if got := happenings(all, want...); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}

	for _, r := range all {
		if r.What == journal.Seen && (r.Client != call.Id || r.Trip != call.GetSos().TripId) {
			t.Errorf("%+v", r)
		}
	}
}

func TestADriverCallsForHelpOnATripAndNowhereElse(t *testing.T) {
	script := driverScript(800)
	n := newFakeNode(t, func(c *fakeConn, f *wire.ClientFrame) {
		if isSOS(f) && (c.node.trip == nil || f.GetSos().TripId != c.node.trip.Id || !client.IsActive(c.node.trip.State)) {
			t.Errorf("a call for help on %q", f.GetSos().TripId)
		}
		script(c, f)
	})

	stats := NewStats()
	startDrivers(t, n, DriverConfig{Speed: 20, Rate: 50, Decline: -1, SOS: 1, Stats: stats})
	n.waitUntil("the driver calls", func() bool { return stats.Snapshot().HelpAsked == 1 })
}

func TestWhoNeverCallsDecidesTheRestAsWhoDoes(t *testing.T) {
	plans := func(share float64) (at []time.Time) {
		h := sosPlan{rng: newRandomStream(1, "ada", "help"), clock: 1, share: share}
		for range 100 {
			h.planCall(time.Unix(0, 0))
			at = append(at, h.callAt)
		}
		return at
	}

	some, all := plans(.2), plans(1)
	n := 0
	for i := range some {
		if !some[i].IsZero() {
			n++
			if some[i] != all[i] {
				t.Errorf("trip %d: %v and %v", i, some[i], all[i])
			}
		}
	}

	if n < 5 || n > 50 || len(slices.DeleteFunc(plans(0), time.Time.IsZero)) != 0 {
		t.Errorf("%d of 100 trips", n)
	}
}

func TestAWordOfAnOperatorIsHeardOnceOnAConnection(t *testing.T) {
	w := newProtocolChecker(NewStats(), client.RoleRider, "ada")
	say := &wire.SosSeen{Id: "c1", TripId: "t"}
	w.checkWelcome(&wire.Welcome{Epoch: "e", Trip: &wire.Trip{Id: "t", Version: 2}})
	if !w.checkSOSSeen(say) {
		t.Error("the first word counts as one before it")
	}
	w.checkWelcome(&wire.Welcome{Epoch: "e"})
	if w.checkSOSSeen(say) || w.stats.Snapshot().Violations != 0 {
		t.Error("after a reconnection it may come again, and is not new")
	}
	if w.checkSOSSeen(say); w.stats.Snapshot().Violations != 1 {
		t.Error("a second report on one connection is no violation")
	}
}

// fakeAdminAPI is a node's admin API with open calls for help.
type fakeAdminAPI struct {
	*httptest.Server
	mu     sync.Mutex
	open   map[string]string // trip, by id
	acked  []string
	broken bool
}

func newFakeAdminAPI(t *testing.T, open map[string]string) *fakeAdminAPI {
	d := &fakeAdminAPI{open: open}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ops/alerts", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		list := []map[string]string{}
		for id, trip := range d.open {
			list = append(list, map[string]string{"id": id, "trip": trip})
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"alerts": list}); err != nil {
			t.Error(err)
		}
	})

	mux.HandleFunc("POST /ops/alerts/{id}/ack", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()

		id := r.PathValue("id")
		switch {
		case d.open[id] == "gone":
			delete(d.open, id)
			w.WriteHeader(http.StatusNotFound)
			return
		case d.broken: // Refused once, as when a node restarts.
			d.broken = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}

		d.acked = append(d.acked, id)
		delete(d.open, id)
	})

	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

func TestAnOperatorAcknowledgesEachCallAtTheAdminAPIThatAnswers(t *testing.T) {
	j, records := openJournal(t)
	d := newFakeAdminAPI(t, map[string]string{"a1": "trip-1", "a2": "trip-2", "a3": "gone"})
	d.broken = true
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	stats := NewStats()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- RunOperator(ctx, OperatorConfig{AdminURLs: []string{dead.URL, d.URL + "/"}, PollInterval: time.Millisecond,
			MeanThinkTime: time.Millisecond, Stats: stats, Journal: j})
	}()

	for late := time.Now().Add(20 * time.Second); stats.Snapshot().HelpAcknowledged < 2 || stats.Snapshot().Refused < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%+v", stats.Snapshot())
		}
	}

	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	byAlert := map[string]string{}
	for _, r := range records() {
		if r.Kind == journal.Acknowledge {
			if r.Who != "operator:ops" || r.Command == "" {
				t.Errorf("%+v", r)
			}
			byAlert[r.Alert] += " " + r.What
		}
	}

	for id, want := range map[string]string{"a1": " invoke ok", "a2": " invoke ok", "a3": " invoke fail"} {
		if byAlert[id] != want {
			t.Errorf("%s:%s, want%s", id, byAlert[id], want)
		}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Sort(d.acked); strings.Join(d.acked, " ") != "a1 a2" {
		t.Errorf("acknowledged %v", d.acked)
	}
}

func TestAnOperatorWithoutAnAdminURLIsAnError(t *testing.T) {
	if err := RunOperator(t.Context(), OperatorConfig{}); err == nil || !strings.Contains(err.Error(), "admin URL") {
		t.Error(err)
	}
}
