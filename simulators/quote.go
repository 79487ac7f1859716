package simulators

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/wire"
)

// quoteWithin is how long a rider waits for a price.
const quoteWithin = 3 * time.Second

// quote asks the node that the phone talks to for a price that binds.
func (p *phone) quote(from, to location.Point) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), quoteWithin)
	defer cancel()

	var answer struct {
		Quote string `json:"quote"`
	}
	err := p.session.Call(ctx, client.Request{Method: http.MethodPost, Path: "/v1/quotes",
		Body: map[string]location.Point{"pickup": from, "dropoff": to}}, &answer)
	if err == nil && answer.Quote == "" {
		err = errors.New("the node's answer holds no quote")
	}
	return answer.Quote, err
}

// request asks for a price and for a ride at it. A rider who gets no price, as
// while a node is down, asks for the ride at the price of the moment: the
// request is sent again until a node answers.
func (r *rider) request() {
	quote, err := r.phone.quote(r.wish.from, r.wish.to)
	if err != nil {
		r.net.log.Debug("no quote", "rider", r.phone.id, "err", err)
	}
	r.requesting = r.phone.command(client.Frame(&wire.RequestTrip{
		Pickup: wirePoint(r.wish.from), Dropoff: wirePoint(r.wish.to), Quote: quote}))
}
