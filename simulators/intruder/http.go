package intruder

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// request is one request to the public API. TRIP, RIDER and DRIVER stand for
// the target's ids.
type request struct {
	method, path, body string

	// harmless means that a success reveals nothing of others. The answer is
	// searched all the same.
	harmless bool
}

// foreignTripRequests ask for what belongs to the two people of a trip.
var foreignTripRequests = []request{
	{method: "GET", path: "/v1/trips/TRIP"},
	{method: "GET", path: "/v1/trips/TRIP/chat"},
	{method: "POST", path: "/v1/trips/TRIP/cancel", body: `{"reason":"intruder"}`},
	{method: "GET", path: "/v1/trips", harmless: true},
}

// tokenRequests are requests that a valid token permits.
var tokenRequests = []request{
	{method: "GET", path: "/v1/trips"},
	{method: "GET", path: "/v1/trips/TRIP"},
	{method: "GET", path: "/v1/receipts"},
	{method: "POST", path: "/v1/trips/TRIP/cancel", body: `{}`},
}

// malformedRequests are requests that the API should never accept.
var malformedRequests = []request{
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
	// The page answers unknown paths.
	{method: "GET", path: "/metrics", harmless: true},
	{method: "POST", path: "/admin/revocations", body: `{"role":"rider","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"system","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"operator","id":"RIDER"}`},
	{method: "POST", path: "/v1/dev/tokens", body: `{"role":"rider","id":"../RIDER"}`},
}

func httpAttempts() []attempt {
	return []attempt{
		{"another's trip over HTTP, as a rider", askAll(foreignTripRequests, "rider")},
		{"another's trip over HTTP, as a driver", askAll(foreignTripRequests, "driver")},
		{"broken requests", askAll(malformedRequests, "rider")},
		{"wrong tokens over HTTP", func(i *intruder, ctx context.Context, v *visit) {
			for _, token := range forgedTokens(i.tokens["rider"], v.target) {
				for _, r := range tokenRequests {
					i.tryRequest(ctx, v, r, token)
				}
			}
		}},
	}
}

// askAll returns an attempt that sends all requests with the token of a role.
func askAll(requests []request, role string) func(*intruder, context.Context, *visit) {
	return func(i *intruder, ctx context.Context, v *visit) {
		for _, r := range requests {
			i.tryRequest(ctx, v, r, i.tokens[role])
		}
	}
}

// tryRequest sends a request and judges the answer.
func (i *intruder) tryRequest(ctx context.Context, v *visit, r request, token string) {
	fill := strings.NewReplacer("TRIP", v.target.Trip, "RIDER", v.target.Rider, "DRIVER", v.target.Driver)
	path, body := fill.Replace(r.path), fill.Replace(r.body)
	v.countTried()

	status, text, err := i.sendRequest(ctx, r.method, v.server+path, token, body)
	switch {
	case err != nil:
		v.Unanswered++
		return
	case status < 300 && !r.harmless && r.method == http.MethodGet:
		v.recordForeign(len(text), "%s %.60s: %d, %.200s", r.method, path, status, text)
		return
	case status < 300 && !r.harmless:
		v.recordAccepted("%s %.60s %.60s: %d, %.200s", r.method, path, body, status, text)
		return
	}
	v.Refused++

	for _, name := range []string{v.target.Rider, v.target.Driver} {
		if name != "" && !strings.Contains(path+body, name) && bytes.Contains(text, []byte(`"`+name+`"`)) {
			v.recordForeign(len(text), "%s %.60s names %s: %.200s", r.method, path, name, text)
		}
	}
}

// sendRequest sends one request on a connection of its own. It reads at most 1
// MiB of the answer.
func (i *intruder) sendRequest(ctx context.Context, method, url, token, body string) (status int, text []byte, err error) {
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
