package httpapi

import (
	"net/http"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// receipt is a receipt as on the socket, and what of it was given back since.
type receipt struct {
	TripID    trips.TripID `json:"trip_id"`
	Reference string       `json:"reference"`
	Amount    trips.Money  `json:"amount"`
	AtMs      float64      `json:"at_ms"`
	Refunded  trips.Money  `json:"refunded,omitzero"`
}

func (a *API) listReceipts(r *http.Request, who trips.Actor) (int, any, error) {
	list, err := a.cfg.Receipts.RiderCharges(r.Context(), trips.RiderID(who.ID), pageSize)
	return http.StatusOK, map[string][]receipt{"receipts": convertReceipts(list)}, err
}

func convertReceipts(list []payments.Charge) []receipt {
	out := make([]receipt, len(list))
	for i, c := range list {
		out[i] = receipt{TripID: c.Trip, Reference: c.Reference, Amount: c.Amount, AtMs: wire.ToMillis(c.At), Refunded: c.Refunded}
	}
	return out
}
