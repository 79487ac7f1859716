package node_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
	"github.com/ridehail/ridehail/wire"
)

// badIDs are no ids: a database refuses some, others are too long to be ours.
var badIDs = []string{"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", "a\nb", "\u0085", strings.Repeat("x", 65), strings.Repeat("é", 900)}

// onEachEngine runs a test on a node with SQLite and its own Redis, and on one
// with Postgres and a real Redis.
func onEachEngine(t *testing.T, test func(t *testing.T, n *node.Node)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, startNode(t, node.Config{Name: "n", Database: filepath.Join(t.TempDir(), "city.db")}))
	})
	t.Run("Postgres", func(t *testing.T) {
		address, _ := openRedis(t)
		test(t, startNode(t, node.Config{Name: "n", Database: createDatabase(t), Redis: address}))
	})
}

// call sends a request and returns the status and the problem's code.
func call(t *testing.T, method, address, bearer, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	var problem struct {
		Code string `json:"code"`
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(data, &problem) // a tile is no JSON
	return res.StatusCode, problem.Code
}

// jsonText is a text as it stands in JSON: bytes that are not UTF-8 stay.
func jsonText(s string) string {
	return strings.NewReplacer("\x00", `\u0000`, "\n", `\n`, "\u0085", `\u0085`).Replace(s)
}

func TestTextThatNoDatabaseKeepsIsAnsweredAlikeOnEveryEngine(t *testing.T) {
	onEachEngine(t, func(t *testing.T, n *node.Node) {
		base, admin := n.PublicURL(), n.AdminURL()
		points := `"pickup":{"lng":3.384979,"lat":6.408022},"dropoff":{"lng":3.393263,"lat":6.484199}`

		for i, bad := range badIDs {
			rider := devToken(t, n, "rider", fmt.Sprint("r", i)) // each user may ask 40 times at once
			trip := requestTrip(t, n, rider)
			id, in := url.PathEscape(bad), jsonText(bad)
			wrong := "bad_field" // of a JSON text; what is not UTF-8 is no JSON
			if !json.Valid([]byte(`"`+in+`"`)) || strings.ToValidUTF8(in, "") != in {
				wrong = "bad_frame"
			}
			// A quote is longer than an id, and none of ours in any case.
			quote, status := "bad_quote", 422
			if wrong == "bad_frame" {
				quote, status = wrong, 400
			}

			check := func(status int, code, method, address, body string, headers ...string) {
				t.Helper()
				if s, c := call(t, method, address, rider, body, headers...); s != status || c != code {
					t.Errorf("%s %.99s %.99s %.99q: %d %s, want %d %s", method, address, body, headers, s, c, status, code)
				}
			}
			check(404, "not_found", "GET", base+"/v1/trips/"+id, "")
			check(404, "not_found", "GET", base+"/v1/trips/"+id+"/chat", "")
			check(404, "not_found", "GET", base+"/v1/trips/"+id+"/chat?after="+id, "")
			check(404, "not_found", "POST", base+"/v1/trips/"+id+"/cancel", "")
			check(404, "not_found", "POST", base+"/v1/trips/"+id+"/cancel", `{"reason":"late"}`, "Idempotency-Key", "k")
			check(404, "not_found", "POST", admin+"/ops/alerts/"+id+"/ack", "")
			check(400, "bad_field", "GET", base+"/v1/trips?before="+url.QueryEscape(bad), "")
			check(400, "bad_field", "GET", base+"/v1/trips/"+trip+"/chat?after="+url.QueryEscape(bad), "")
			check(400, "bad_field", "GET", base+"/v1/nearby?lng=3.38&lat="+url.QueryEscape(bad), "")
			check(200, "", "GET", base+"/v1/receipts?before="+url.QueryEscape(bad), "")
			check(status, quote, "POST", base+"/v1/trips", `{"quote":"`+in+`"}`, "Idempotency-Key", "q")
			check(400, wrong, "POST", base+"/v1/dev/tokens", `{"role":"rider","id":"`+in+`"}`)
			check(400, wrong, "POST", base+"/v1/dev/tokens", `{"role":"`+in+`","id":"ada"}`)
			check(400, wrong, "POST", admin+"/admin/revocations", `{"jti":"`+in+`"}`)
			check(400, wrong, "POST", admin+"/admin/revocations", `{"role":"rider","id":"`+in+`"}`)
			check(401, "unauthorized", "GET", base+"/v1/trips", "", "Authorization", "Bearer "+id)
			check(400, "bad_field", "GET", base+"/v1/tiles/"+id+"/0/0", "")
			if !strings.ContainsAny(bad, "\x00\n") { // net/http sends none
				check(400, "bad_field", "POST", base+"/v1/trips", "{"+points+"}", "Idempotency-Key", bad)
				check(400, "bad_field", "POST", base+"/v1/trips/"+trip+"/cancel", "", "Idempotency-Key", bad)
			}
			checkWebhook(t, base, in)
			checkRawKey(t, base, rider, bad)
		}

		rider := devToken(t, n, "rider", "ada")
		trip := requestTrip(t, n, rider)
		check := func(body string, status int, code string) {
			if s, c := call(t, "POST", base+"/v1/trips/"+trip+"/cancel", rider, body); s != status || c != code {
				t.Errorf("cancel %.99s: %d %s, want %d %s", body, s, c, status, code)
			}
		}
		check(`{"reason":"a\u0000b"}`, 400, "bad_field")
		check("{\"reason\":\"\xff\"}", 400, "bad_frame")
		check(`{"reason":"`+strings.Repeat("x", 201)+`"}`, 400, "bad_field")
		if got := get(t, base+"/v1/trips/"+trip, rider); got["state"] != "requested" || got["version"] != 1. {
			t.Errorf("the trip is %v", got)
		}
		if report := runAudit(t, n, time.Time{}); report.Violations() != 0 {
			t.Error(report.Text())
		}
	})
}

// requestTrip opens a trip and returns its id.
func requestTrip(t *testing.T, n *node.Node, bearer string) string {
	t.Helper()
	phone := dialNode(t, n, wire.SubprotocolJSON, &wire.Hello{Token: bearer})
	trip := phone.ask(&wire.ClientFrame{Id: "open", Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{
		Pickup: &wire.Point{Lng: 3.384979, Lat: 6.408022}, Dropoff: &wire.Point{Lng: 3.393263, Lat: 6.484199}}}}).Trip
	if trip == nil {
		t.Fatal("no trip was opened")
	}
	return trip.Id
}

// checkWebhook sends a signed event about a trip that no database knows.
func checkWebhook(t *testing.T, base, reference string) {
	t.Helper()
	for _, body := range []string{
		fmt.Sprintf(`{"event":"charge.success","data":{"reference":"trip-%s","paid_at":%q}}`, reference, time.Now().Format(time.RFC3339)),
		fmt.Sprintf(`{"event":"refund.processed","data":{"transaction_reference":"trip-%s"}}`, reference),
	} {
		if s, _ := call(t, "POST", base+"/v1/payments/webhook", "", body, payments.SignatureHeader, provider.SignWebhook("sk_test", []byte(body))); s != 200 {
			t.Errorf("webhook %q: %d", body, s)
		}
	}
}

// checkRawKey sends a key that no client library would send.
func checkRawKey(t *testing.T, base, bearer, key string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	fmt.Fprintf(conn, "POST /v1/trips HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", bearer, key)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("key %q: %v", key, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("key %q: %s", key, res.Status)
	}
}

// rawPhone is a socket whose frames a test writes by hand.
type rawPhone struct {
	t    *testing.T
	conn *websocket.Conn
	wire.Codec
}

func dialNode(t *testing.T, n *node.Node, subprotocol string, hello *wire.Hello) *rawPhone {
	t.Helper()
	codec, _ := wire.CodecFor(subprotocol)
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}}
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(n.PublicURL(), "http")+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	p := &rawPhone{t, conn, codec}
	p.send(&wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: hello}})
	if f := p.read(); f.GetWelcome() == nil {
		t.Fatalf("no welcome: %v", f)
	}
	return p
}

func (p *rawPhone) send(f *wire.ClientFrame) {
	p.t.Helper()
	data, err := p.Append(nil, f)
	if err != nil {
		p.t.Fatal(err)
	}
	kind := websocket.BinaryMessage
	if p.Text() {
		kind = websocket.TextMessage
	}
	if err := p.conn.WriteMessage(kind, data); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawPhone) read() *wire.ServerFrame {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, data, err := p.conn.ReadMessage()
	f := new(wire.ServerFrame)
	if err == nil {
		err = p.Decode(data, f)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// ask sends a command and returns its ack.
func (p *rawPhone) ask(f *wire.ClientFrame) *wire.Ack {
	p.t.Helper()
	p.send(f)
	for {
		if ack := p.read().GetAck(); ack != nil {
			return ack
		}
	}
}

func TestASocketAnswersTextThatNoDatabaseKeepsAlikeOnEveryEngine(t *testing.T) {
	onEachEngine(t, func(t *testing.T, n *node.Node) {
		riderToken, driverToken := devToken(t, n, "rider", "ada"), devToken(t, n, "driver", "dayo")
		trip := requestTrip(t, n, riderToken)

		for _, subprotocol := range []string{wire.SubprotocolJSON, wire.SubprotocolProto} {
			rider := dialNode(t, n, subprotocol, &wire.Hello{Token: riderToken, Client: "\x00", Resume: &wire.Resume{Epoch: "1", TripId: "a\x00"}})
			driver := dialNode(t, n, subprotocol, &wire.Hello{Token: driverToken, Resume: &wire.Resume{Epoch: "\x00", TripId: "\x00"}})
			for i, bad := range []string{"\x00", "a\x00b", "a\nb", "\u0085", strings.Repeat("x", 65)} {
				check := func(p *rawPhone, id, code string, f *wire.ClientFrame) {
					t.Helper()
					f.Id = id
					if ack := p.ask(f); ack.Code != code {
						t.Errorf("%s %v: %v, want %s", subprotocol, f, ack, code)
					}
				}
				id := fmt.Sprint(subprotocol, i)
				check(rider, id+"cancel", "not_found", &wire.ClientFrame{Body: &wire.ClientFrame_CancelTrip{CancelTrip: &wire.CancelTrip{TripId: bad}}})
				check(rider, id+"chat", "not_found", &wire.ClientFrame{Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: bad, Text: "hi"}}})
				check(rider, id+"sos", "not_found", &wire.ClientFrame{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: bad}}})
				check(driver, id+"move", "not_found", &wire.ClientFrame{Body: &wire.ClientFrame_MoveTrip{MoveTrip: &wire.MoveTrip{TripId: bad, Step: wire.Step_ARRIVE}}})
				check(rider, id+"quote", "bad_quote", &wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Quote: bad}}})
				check(rider, bad, "bad_field", &wire.ClientFrame{Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: trip}}})
				check(driver, id+"offer", "offer_gone", &wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: bad, Accept: true}}})
				check(driver, id+"decline", "", &wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: bad}}})
			}
			for _, text := range []string{"a\x00b", "\x1b[2J"} {
				for _, f := range []*wire.ClientFrame{
					{Id: "t1", Body: &wire.ClientFrame_SendChat{SendChat: &wire.SendChat{TripId: trip, Text: text}}},
					{Id: "t2", Body: &wire.ClientFrame_Sos{Sos: &wire.Sos{TripId: trip, Text: text}}},
				} {
					if ack := rider.ask(f); ack.Code != "bad_text" {
						t.Errorf("%v: %v", f, ack)
					}
				}
			}
		}
	})
}
