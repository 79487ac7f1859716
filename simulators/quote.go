package simulators

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// quoteWithin is how long a rider waits for a price.
const quoteWithin = 3 * time.Second

// quote asks the node that the phone talks to for a price that binds.
func (p *phone) quote(from, to location.Point) (string, error) {
	p.mu.Lock()
	server, token := p.server, p.pass
	p.mu.Unlock()
	body, err := json.Marshal(map[string]location.Point{"pickup": from, "dropoff": to})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), quoteWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/quotes", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := p.net.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for a quote: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read the quote: %w", err)
	}
	if err := refusal(res); err != nil {
		return "", err
	}
	var answer struct {
		Quote string `json:"quote"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Quote == "" {
		return "", fmt.Errorf("the node's answer %.80q holds no quote", text)
	}
	return answer.Quote, nil
}

// request asks for a price and for a ride at it. A rider who gets no price, as while a node is down, asks for the ride at
// whatever it costs: the request is sent again until a node answers.
func (r *rider) request(now time.Time) {
	quote, err := r.phone.quote(r.wish.from, r.wish.to)
	if err != nil {
		r.net.log.Debug("no quote", "rider", r.phone.id, "err", err)
	}
	r.requesting = r.phone.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{
		Pickup: wirePoint(r.wish.from), Dropoff: wirePoint(r.wish.to), Quote: quote}}}, now)
}
