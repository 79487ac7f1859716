package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/xray"
)

// newRide is a ride with all that is shown in a way of its own.
func newRide() xray.Ride {
	hop := func(k *tracing.Kind, began, took xray.Micros) xray.Hop {
		return xray.Hop{Name: k.Name, Mechanism: k.Mechanism, From: k.From, To: k.To, Node: "a", Began: began, Duration: took, Own: took, Seen: true, Expected: true}
	}
	publish, heard := hop(tracing.Publish, 0, 300_000), hop(tracing.Heard, 300_000, 200_000)
	publish.Key, heard.Cause, heard.Node, heard.Doubt = "publish:event:2", "publish:event:2", "b", 40_000
	lost := hop(tracing.EventWritten, 500_000, 0)
	lost.Seen, lost.Node, lost.To, lost.Reason = false, "", tracing.RiderPhone, "The phone was away."
	failed := hop(tracing.Statement, 100_000, 300_000) // overlaps its neighbour
	failed.Failed, failed.Code = true, "timeout"

	accept := xray.Phase{Name: tracing.Accept, BeganAt: 1000, Duration: 500_000, Gap: 3_400_000_000, GapWait: tracing.People, GapWhat: "driver drove to the pickup",
		Hops: []xray.Hop{publish, failed, heard, lost}}
	r := xray.Ride{Trip: "01890a5d-ac96-774b-bcce-b302099a8057", State: "completed", Phases: []xray.Phase{accept},
		Nodes:    []xray.Node{{Name: "a", Hops: 3}, {Name: "b", Hops: 1, Doubt: 40_000}, {Name: "c", Missing: true}},
		Duration: 3_400_500_000, Waited: xray.Waited{People: 3_400_000_000, Network: 500_000}}
	for n := range 3 {
		p := xray.Phase{Name: tracing.Position, Nth: n + 1, BeganAt: 2000 + float64(n), Duration: 1_000_000, Hops: []xray.Hop{hop(tracing.FixSent, 0, 1_000_000)}}
		if n == 2 {
			lost := hop(tracing.PositionWritten, 1_000_000, 0)
			lost.Seen = false
			p.Hops = append(p.Hops, lost)
		}
		r.Phases = append(r.Phases, p)
	}
	return r
}

// withoutColors returns a text as it is printed where there is no terminal.
func withoutColors(text string) string {
	var b bytes.Buffer
	_, _ = lipgloss.Fprint(&b, text) // a buffer takes everything
	return b.String()
}

func TestARideIsShownAsATable(t *testing.T) {
	text := withoutColors(Text(newRide(), false))
	for _, want := range []string{
		"nodes · a: 3 hops · b: 1 hops, clock ± 40 µs", "missing · c did not answer", "where 3.4 s went", "people 3.4 s (100.0 %)", "network 500 µs (0.0 %)",
		"ACCEPT  500 µs", "publish           pubsub    outbox → redis", "300 µs", "failed: timeout", "± 40 µs", "not seen: event_written", "The phone was away.",
		"… driver drove to the pickup 3.4 s", "POSITION 1", "… 2 more positions like the one above: 1000 µs in the middle, 1000 µs at most, 1 overwritten",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(text, "POSITION 2") || t.Failed() {
		t.Log(text)
	}
	if all := withoutColors(Text(newRide(), true)); !strings.Contains(all, "POSITION 3") || strings.Contains(all, "more positions") {
		t.Errorf("with all positions:\n%s", all)
	}
	_ = Text(xray.Ride{}, false) // no phase, no time: nothing to divide by
}

func TestSlicesOfAPerfettoThreadNest(t *testing.T) {
	file, err := Perfetto(newRide())
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		Events []traceEvent `json:"traceEvents"`
	}
	if err := json.Unmarshal(file, &trace); err != nil {
		t.Fatal(err)
	}

	threads, arrows := map[int][]traceEvent{}, map[int]string{}
	names := map[string]bool{}
	for _, e := range trace.Events {
		switch e.Phase {
		case "X":
			threads[e.TID] = append(threads[e.TID], e)
			names[e.Name] = true
		case "s", "f":
			arrows[e.ID] += e.Phase
		case "i":
			names[e.Name] = true
		}
	}
	for _, name := range []string{"accept", "driver drove to the pickup", "publish", "heard", "statement", "not seen: event_written", "position 3"} {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if len(arrows) != 1 || arrows[1] != "sf" {
		t.Errorf("arrows %v", arrows)
	}
	for _, slices := range threads {
		for i, a := range slices {
			for _, b := range slices[i+1:] {
				if a.At < b.At && b.At < a.At+a.Took && a.At+a.Took < b.At+b.Took {
					t.Errorf("%s (%v for %v) and %s (%v for %v) overlap on one thread", a.Name, a.At, a.Took, b.Name, b.At, b.Took)
				}
			}
		}
	}
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name, body, token, want string
		status                  int
		kind                    error
	}{
		{"a problem", `{"code":"not_traced","detail":"This trip is older than what is kept."}`, "", "older than what is kept", 404, ErrUsage},
		{"no token", `{"code":"unauthorized","detail":"Send a token."}`, "", "give --token", 401, ErrUsage},
		{"a bad token", `{"code":"unauthorized","detail":"Send a valid token."}`, "t", "Send a valid token", 401, ErrUsage},
		{"a database that is away", `{"code":"unavailable","detail":"Something is down."}`, "", "Something is down", 503, ErrUnreachable},
		{"something else", `<html>`, "", "no node of this build", 404, ErrUsage},
		{"a page instead of a ride", `<html>`, "", "something else than a ride", 200, ErrUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got, want := r.Header.Get("Authorization"), strings.TrimSuffix("Bearer "+c.token, "Bearer "); got != want {
					t.Errorf("the token is %q", got)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			_, err := Source{URL: server.URL, Token: c.token}.Ride(t.Context(), "t")
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestANodeThatIsAwayIsUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := (Source{URL: server.URL}).Trips(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "is a node running") {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		if _, err := (Source{URL: address}).Trips(t.Context()); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestTheNewestTripsAreListed(t *testing.T) {
	if text := TripsText(xray.Kept{}); !strings.Contains(text, "--trace-ratio") {
		t.Error(text)
	}
	text := withoutColors(TripsText(xray.Kept{Trips: []xray.KeptTrip{{ID: "t1", BeganMs: 1000, EndedMs: 42_200, Hops: 120}, {ID: "t2", BeganMs: 900, Hops: 7}}, Kept: 2}))
	for _, want := range []string{"41.2 s   120 hops", "goes on     7 hops", "2 rides are kept"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
