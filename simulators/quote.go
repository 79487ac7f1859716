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

// quoteTimeout limits how long a rider waits for a price.
const quoteTimeout = 3 * time.Second

// requestQuote asks for a binding price. It blocks for up to quoteTimeout.
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

// requestTrip asks for a quote and requests the trip at its price. Without a
// quote, as while a node is down, it requests the trip at the current price.
func (r *rider) requestTrip() {
	quote, err := r.phone.requestQuote(r.demand.from, r.demand.to)
	if err != nil {
		r.network.log.Debug("no quote", "rider", r.phone.id, "err", err)
	}
	r.requestCommand = r.phone.sendCommand(client.NewFrame(&wire.RequestTrip{
		Pickup: wirePoint(r.demand.from), Dropoff: wirePoint(r.demand.to), Quote: quote}))
}
