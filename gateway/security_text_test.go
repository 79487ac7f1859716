package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/store/sqlite"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// payloads are texts that some reader on the way would take for something else
// than text.
var payloads = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><svg/onload=alert(1)>`, `javascript:alert(1)`,
	`<iframe srcdoc="<script>parent.x=1</script>">`, `</textarea><b>`, `&lt;b&gt; &amp; &#x3c;`, `{{7*7}} ${7*7} <%= 7*7 %>`,
	`';alert(String.fromCharCode(88,83,83))//`, `<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>`,
	`' OR '1'='1`, `'; DROP TABLE trips; --`, `" OR ""="`, `1; SELECT pg_sleep(10)`, `') UNION SELECT secret FROM users --`,
	`\'; DELETE FROM chat WHERE ''='`, `$1 ?1 :id @p %s %d %n`, `$$ ; /* */ -- #`, `\x00 \u0000 \n \\`, `%00%0a%0d%27`,
	`{"id":"x","cancel_trip":{"trip_id":"y"}}`, `{"$gt":""}`, "line\nbreak\tand tab", `*)(uid=*))(|(uid=*`, `$(reboot) | ; && ls`,
	`../../../../etc/passwd`, "\u202bמלון\u202c \u2066gnp.exe\u2069 \u200f!", "zero\u200bwidth", "e\u0301 é ﷽ 👩‍👩‍👧", `=HYPERLINK("http://x")`,
}

func TestTextThatLooksLikeCodeStaysText(t *testing.T) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "city.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c := newTestNode(t, func(cfg *Config) {
		cfg.Store, cfg.Receipts, cfg.Trips = store, store, &trips.Service{Store: store, Now: cfg.Now}
		cfg.Room = &chat.Room{Store: store, Trips: store, Now: cfg.Now}
	})
	rider, driver := c.connectPhone(trips.Rider("r"), asJSONText, nil), c.connectPhone(trips.Driver("d"), asProto, nil)
	id := trips.TripID(rider.mustDo(requestFrame(market, airport)).Trip.Id)
	service := c.g.cfg.Trips
	commitStep(t, service, "d", id, func(tr trips.Trip, now time.Time) (trips.Event, error) { return tr.Reserve("d", now) })

	for i, text := range payloads {
		p := []*phone{rider, driver}[i%2]
		if a := p.askCommand(fmt.Sprint("p", i), chatFrame(id, text)); a.Code != "" || int(a.ChatSeq) != i+1 {
			t.Errorf("%q: %v", text, a)
		}
	}

	c.g.OnGap()
	c.startRunning()

	for i, m := range awaitBodies[*wire.ServerFrame_Chat](driver, len(payloads)) {
		if m.Chat.Text != payloads[i] {
			t.Errorf("%q was heard as %q", payloads[i], m.Chat.Text)
		}
	}

	w := c.callHTTP(trips.Rider("r"), "GET", "/v1/trips/"+string(id)+"/chat", "")
	var list struct{ Messages []struct{ Text string } }
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Messages) != len(payloads) {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}

	for i, m := range list.Messages {
		if m.Text != payloads[i] {
			t.Errorf("%q was read as %q", payloads[i], m.Text)
		}
	}

	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser may take it for a page: %v", h)
	}
	reason := payloads[11]
	body, _ := json.Marshal(map[string]string{"reason": reason})
	if w := c.callHTTP(trips.Rider("r"), "POST", "/v1/trips/"+string(id)+"/cancel", string(body)); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if tr, err := store.Trip(t.Context(), id); err != nil || tr.Reason != reason {
		t.Errorf("the reason is %q, %v", tr.Reason, err)
	}
}

// safeBuffer is a log that many goroutines write.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A whole ride, with all that may go wrong on the way, is logged at the finest
// level.
func TestLogsAndMetricsTellNoTokenNoPlaceAndNoTalk(t *testing.T) {
	log := new(safeBuffer)
	c := newTestNode(t, func(cfg *Config) {
		cfg.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c.startRunning()
	r := newReservedRide(t, c, asJSONText, asProto)
	r.wholeRide()
	c.g.DeliverMessage("chat", []byte(`{"trip":7,"text":"the gate code is 4711"}`))
	bad := c.connectUnwelcomed(asProto, trips.Rider("bad"))
	forged := testToken(t, c.auth, trips.RoleRider, "bad") + "x"
	bad.sendFrame(&wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: forged}}})
	bad.awaitClose()
	c.store.breakWith(errors.New("dial tcp: refused"))
	r.driver.askCommand("while down", chatFrame(r.trip, "the gate code is 4711"))
	r.rider.askCommand("while down", requestFrame(market, airport))
	c.callHTTP(trips.Rider("r"), "POST", "/v1/quotes", ride)
	c.callHTTP(trips.Rider("r"), "GET", "/v1/trips/"+string(r.trip)+"/chat?after=0", "")
	c.callHTTP(trips.Rider("r"), "GET", "/v1/nearby?lng=3.38&lat=6.45", "")
	c.g.OnGap()
	c.awaitCondition("the failures are logged", func() bool { return strings.Contains(log.String(), "catch up") })
	c.store.breakWith(nil)
	c.postRevocation(`{"role":"rider","id":"r"}`)
	r.rider.awaitClose()
	logged, metrics := log.String(), getPath(c.api.Admin(), "/metrics").Body.String()
	if strings.Count(logged, "\n") < 5 {
		t.Fatalf("hardly anything was logged: %s", logged)
	}

	tokens := regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	secrets := []string{"eyJ", "on my way", "at the gate", "4711", "3.38", "6.45", "3.40", "6.5", forged[len(forged)-20:]}
	for _, p := range []*phone{r.rider, r.driver} {
		token := tokens.FindString(string(p.said[0]))
		if token == "" {
			t.Fatal("no token was sent")
		}
		secrets = append(secrets, strings.Split(token, ".")...)
	}

	labels := strings.Join(regexp.MustCompile(`="[^"]*"`).FindAllString(metrics, -1), "\n")
	for _, secret := range secrets {
		if withoutTimes := regexp.MustCompile(`"time":"[^"]*"`).ReplaceAllString(logged, ""); strings.Contains(withoutTimes, secret) {
			t.Errorf("the log tells %q: %s", secret, withoutTimes)
		}
		if strings.Contains(labels, secret) && !strings.Contains(`le="6.5"`, secret) {
			t.Errorf("the metrics tell %q", secret)
		}
	}
}

func TestCompressionIsNotAgreedTo(t *testing.T) {
	c := newTestNode(t, nil)
	d := newDialer(asProto)
	d.EnableCompression = true

	conn, resp, err := d.DialContext(t.Context(), c.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("agreed to %q", got)
	}
}

func TestATokenInTheAddressOpensNothing(t *testing.T) {
	c := newTestNode(t, nil)
	token := testToken(t, c.auth, trips.RoleRider, "r")
	for _, name := range []string{"token", "access_token", "authorization"} {
		conn, _, err := newDialer(asJSONText).DialContext(t.Context(), c.url+"?"+name+"="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"ping":{}}`)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, wire.CloseNoAuth) {
			t.Errorf("?%s= is answered %v", name, err)
		}

		conn.Close()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http"+strings.TrimSuffix(c.url[2:], "ws")+"trips?"+name+"="+token, nil)

		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("?%s= is answered %s", name, res.Status)
		}
	}

	http.DefaultClient.CloseIdleConnections()
}
