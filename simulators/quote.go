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

// quoteTimeout is how long a rider waits for a price.
const quoteTimeout = 3 * time.Second

// requestQuote asks the node that the phone talks to for a price that binds.
func (p *phone) requestQuote(from, to location.Point) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), quoteTimeout)
	defer cancel()

	var answer struct {
		Quote string `json:"quote"`
	}
	err := p.session.CallAPI(ctx, client.Request{Method: http.MethodPost, Path: "/v1/quotes",
		Body: map[string]location.Point{"pickup": from, "dropoff": to}}, &answer)
	if err == nil && answer.Quote == "" {
		err = errors.New("the node's answer holds no quote")
	}
	return answer.Quote, err
}

// requestTrip asks for a price and for a ride at it. A rider who gets no price, as
// while a node is down, asks for the ride at the price of the moment: the
// request is sent again until a node answers.
func (r *rider) requestTrip() {
	quote, err := r.phone.requestQuote(r.demand.from, r.demand.to)
	if err != nil {
		r.network.log.Debug("no quote", "rider", r.phone.id, "err", err)
	}
	r.requestCommand = r.phone.sendCommand(client.NewFrame(&wire.RequestTrip{
		Pickup: wirePoint(r.demand.from), Dropoff: wirePoint(r.demand.to), Quote: quote}))
}
