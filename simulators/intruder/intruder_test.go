package intruder

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var victim = Target{Trip: "3d7a4c1e-trip", Rider: "victim", Driver: "chauffeur"}

// fakeNode answers as a node. Its fields say how.
type fakeNode struct {
	http   func(w http.ResponseWriter, r *http.Request)
	answer func(*wire.ClientFrame) *wire.ServerFrame // nil closes the socket.
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/dev/tokens":
		text, err := io.ReadAll(r.Body)
		if err == nil && bytes.Contains(text, []byte(`"intruder-`)) {
			_, _ = io.WriteString(w, `{"token":"head.body.signature"}`)
			return
		}
		n.http(w, r)
	case "/v1/ws":
		n.serveSocket(w, r)
	default:
		n.http(w, r)
	}
}

func (n *fakeNode) serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{Subprotocols: []string{wire.SubprotocolProto}}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}

		var f wire.ClientFrame
		if err := wire.Proto.Decode(data, &f); err != nil {
			continue
		}

		reply := n.answer(&f)
		if reply == nil {
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(wire.CloseNoAuth, "go away"))
			return
		}

		out, err := wire.Proto.Append(nil, reply)
		if err != nil || conn.WriteMessage(websocket.BinaryMessage, out) != nil {
			return
		}
	}
}

// runAttempts makes all attempts whose name contains only, at a node.
func runAttempts(t *testing.T, n *fakeNode, only string) Report {
	t.Helper()
	s := httptest.NewServer(n)
	defer s.Close()

	i := &intruder{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		tokens: map[string]string{"rider": "rider.of.mine", "driver": "driver.of.mine"}, report: newReport()}
	for _, a := range append(append(httpAttempts(), socketAttempts()...), rawAttempts()...) {
		if !strings.Contains(a.name, only) {
			continue
		}
		v := &visit{server: s.URL, target: victim}
		a.run(i, t.Context(), v)
		i.report.addTally(a.name, v.tally)
	}

	if len(i.report.Attempts) == 0 {
		t.Fatalf("there is no attempt like %q", only)
	}

	return *i.report
}

func answerOK(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func answerNotFound(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }

func welcomeFrame(f *wire.ClientFrame) *wire.ServerFrame {
	who := Rider
	if strings.HasPrefix(f.GetHello().GetToken(), "driver") {
		who = Driver
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Welcome{Welcome: &wire.Welcome{UserId: who}}}
}

func ackFrame(f *wire.ClientFrame, code wire.Code) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Ack{Ack: &wire.Ack{Id: f.Id, Code: string(code)}}}
}

// strictAnswer answers as a correct node does.
func strictAnswer(f *wire.ClientFrame) *wire.ServerFrame {
	switch {
	case f.GetHello().GetToken() == "rider.of.mine" || f.GetHello().GetToken() == "driver.of.mine":
		return welcomeFrame(f)
	case f.GetHello() != nil:
		return nil
	case f.GetPing() != nil:
		return &wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{}}}
	}
	return ackFrame(f, wire.CodeNotFound)
}

func TestANodeThatRefusesEverythingIsNotBlamed(t *testing.T) {
	for _, only := range []string{"HTTP", "broken requests", "twice", "wrong tokens", "garbage"} {
		if r := runAttempts(t, &fakeNode{answerNotFound, strictAnswer}, only); r.Accepted != 0 || r.Foreign != 0 || len(r.Rows) != 0 || r.Tried == 0 {
			t.Errorf("%s: %+v", only, r)
		}
	}
}

func TestEachThingThatANodeLetsThroughIsCounted(t *testing.T) {
	tell := func(body func(f *wire.ClientFrame) *wire.ServerFrame) *fakeNode {
		return &fakeNode{answerNotFound, func(f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetHello() != nil {
				return strictAnswer(f)
			}
			return body(f)
		}}
	}

	for _, c := range []struct {
		lie, attempt string
		town         *fakeNode
		accepted     bool
		foreign      bool
	}{
		{"reads are open", "as a rider", &fakeNode{answerOK(`{"id":"x"}`), strictAnswer}, true, true},
		{"a refusal names the rider", "over HTTP, as a driver", &fakeNode{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"rider_id":"victim"}`, http.StatusForbidden)
		}, strictAnswer}, false, true},
		{"any token is good over HTTP", "wrong tokens over HTTP", &fakeNode{answerOK("[]"), strictAnswer}, true, true},
		{"any body is good", "broken requests", &fakeNode{answerOK("{}"), strictAnswer}, true, true},
		{"any token is good on the socket", "wrong tokens on the socket", &fakeNode{answerNotFound, welcomeFrame}, true, true},
		{"no token is needed", "before hello", &fakeNode{answerNotFound, func(f *wire.ClientFrame) *wire.ServerFrame { return ackFrame(f, "") }}, true, false},
		{"a stranger may drive", "as a driver, each", tell(func(f *wire.ClientFrame) *wire.ServerFrame { return ackFrame(f, "") }), true, false},
		{"a stranger may ride", "as a rider, each", tell(func(f *wire.ClientFrame) *wire.ServerFrame { return ackFrame(f, "") }), true, false},
		{"a refusal carries the trip", "as a rider, each", tell(func(f *wire.ClientFrame) *wire.ServerFrame {
			a := ackFrame(f, wire.CodeForbidden)
			a.GetAck().Trip = &wire.Trip{Id: victim.Trip}
			return a
		}), false, true},
		{"a stranger hears the chat", "garbage", tell(func(f *wire.ClientFrame) *wire.ServerFrame {
			return &wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: &wire.ChatMessage{TripId: victim.Trip, Text: "psst"}}}
		}), false, true},
		{"a resume shows another's trip", "a frame", &fakeNode{answerNotFound, func(f *wire.ClientFrame) *wire.ServerFrame {
			w := welcomeFrame(f)
			w.GetWelcome().Trip = &wire.Trip{Id: victim.Trip}
			return w
		}}, false, true},
	} {
		t.Run(c.lie, func(t *testing.T) {
			r := runAttempts(t, c.town, c.attempt)
			if (r.Accepted > 0) != c.accepted || (r.Foreign > 0) != c.foreign || len(r.Rows) == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestARunKeepsAJournalOfWhatItTriedAndGot(t *testing.T) {
	s := httptest.NewServer(&fakeNode{answerNotFound, func(*wire.ClientFrame) *wire.ServerFrame { return nil }})
	defer s.Close()

	var journal bytes.Buffer
	asked := 0
	r, err := Run(t.Context(), Config{Servers: []string{s.URL + "/"}, Rounds: 1, Seed: 5, Journal: &journal, Targets: func() []Target {
		if asked++; asked == 1 {
			return nil // There are no trips yet.
		}
		return []Target{victim}
	}})
	if err != nil {
		t.Fatal(err)
	}

	sum := 0
	for lines := json.NewDecoder(&journal); lines.More(); {
		var e journalEntry
		if err := lines.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Target != victim || e.Attempt == "" || e.Node != s.URL || e.AtMs == 0 {
			t.Errorf("%+v", e)
		}
		sum += e.Got.Tried
	}

	made := 0
	for _, n := range r.Attempts {
		made += n
	}
	if sum != r.Tried || sum < 100 || made != asked-1 || r.Accepted+r.Foreign != 0 {
		t.Errorf("%d in the journal; %+v", sum, r)
	}
}

func TestTargetsAreReadAsFarAsTheyCanBe(t *testing.T) {
	path := t.TempDir() + "/targets"
	if got := ReadTargets(path); len(got) != 0 {
		t.Errorf("no file: %v", got)
	}
	if err := os.WriteFile(path, []byte(`{"trip":"a","rider":"b"}`+"\n"+`{"trip":"c","rider":"d","driver":"e"}`+"\n"+`{"tr`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ReadTargets(path); len(got) != 2 || got[1] != (Target{"c", "d", "e"}) {
		t.Errorf("%v", got)
	}
}
