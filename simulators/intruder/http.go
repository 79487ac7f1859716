package intruder

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// request is one thing to ask at the public door. TRIP, RIDER and DRIVER stand
// for the target's.
type request struct {
	method, path, body string
	// an answer with success holds nothing of others; it is searched all the
	// same
	harmless bool
}

// foreignTrips is what belongs to the two people of a trip.
var foreignTrips = []request{
	{method: "GET", path: "/v1/trips/TRIP"},
	{method: "GET", path: "/v1/trips/TRIP/chat"},
	{method: "POST", path: "/v1/trips/TRIP/cancel", body: `{"reason":"intruder"}`},
	{method: "GET", path: "/v1/trips", harmless: true},
}

// personal is what a token opens.
var personal = []request{
	{method: "GET", path: "/v1/trips"},
	{method: "GET", path: "/v1/trips/TRIP"},
	{method: "GET", path: "/v1/receipts"},
	{method: "POST", path: "/v1/trips/TRIP/cancel", body: `{}`},
}

// broken is what no door should take.
var broken = []request{
	{method: "POST", path: "/v1/trips", body: `{"pickup":{"lng":1e999,"lat":0},"dropoff":{"lng":0,"lat":0}}`},
	{method: "POST", path: "/v1/trips", body: `{"pickup":{"lng":0,"lat":91},"dropoff":{"lng":181,"lat":0}}`},
	{method: "POST", path: "/v1/trips", body: `{"pickup":`},
	{method: "POST", path: "/v1/trips", body: strings.Repeat("[", 5000)},
	{method: "POST", path: "/v1/trips", body: `{"pickup":"` + strings.Repeat("x", 4<<20) + `"}`},
	{method: "POST", path: "/v1/quotes", body: "\xff\xfe\x00"},
	{method: "DELETE", path: "/v1/trips/TRIP"},
	{method: "GET", path: "/v1/trips/" + strings.Repeat("x", 4000)},
	{method: "GET", path: "/v1/trips/..%2f..%2fetc"},
	{method: "POST", path: "/v1/payments/webhook", body: `{"event":"charge.success","data":{"reference":"TRIP","amount":1}}`},
	// the page answers unknown paths
	{method: "GET", path: "/metrics", harmless: true},
	{method: "POST", path: "/admin/revocations", body: `{"role":"rider","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"system","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"operator","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"rider","id":"../RIDER"}`},
}

func httpAttempts() []attempt {
	return []attempt{
		{"another's trip over HTTP, as a rider", askAll(foreignTrips, "rider")},
		{"another's trip over HTTP, as a driver", askAll(foreignTrips, "driver")},
		{"broken requests", askAll(broken, "rider")},
		{"wrong tokens over HTTP", func(i *intruder, ctx context.Context, v *visit) {
			for _, token := range forged(i.own["rider"], v.target) {
				for _, r := range personal {
					i.request(ctx, v, r, token)
				}
			}
		}},
	}
}

func askAll(requests []request, role string) func(*intruder, context.Context, *visit) {
	return func(i *intruder, ctx context.Context, v *visit) {
		for _, r := range requests {
			i.request(ctx, v, r, i.own[role])
		}
	}
}

// request asks once and judges the answer.
func (i *intruder) request(ctx context.Context, v *visit, r request, token string) {
	fill := strings.NewReplacer("TRIP", v.target.Trip, "RIDER", v.target.Rider, "DRIVER", v.target.Driver)
	path, body := fill.Replace(r.path), fill.Replace(r.body)
	v.tried()

	status, text, err := i.ask(ctx, r.method, v.server+path, token, body)
	switch {
	case err != nil:
		v.Unanswered++
		return
	case status < 300 && !r.harmless && r.method == http.MethodGet:
		v.foreign(len(text), "%s %.60s: %d, %.200s", r.method, path, status, text)
		return
	case status < 300 && !r.harmless:
		v.accepted("%s %.60s %.60s: %d, %.200s", r.method, path, body, status, text)
		return
	}
	v.Refused++

	for _, name := range []string{v.target.Rider, v.target.Driver} {
		if name != "" && !strings.Contains(path+body, name) && bytes.Contains(text, []byte(`"`+name+`"`)) {
			v.foreign(len(text), "%s %.60s names %s: %.200s", r.method, path, name, text)
		}
	}
}

// ask sends one request on a connection of its own.
func (i *intruder) ask(ctx context.Context, method, url, token, body string) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}

	res, err := i.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, text, err
}
