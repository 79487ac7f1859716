package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

type refundRequest struct {
	Transaction string `json:"transaction"` // the charge's reference
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Note        string `json:"merchant_note"`
}

// refundData is a refund as the provider tells it.
type refundData struct {
	ID int64 `json:"id"`
	// the charge's id, in lists
	Charge    int64     `json:"transaction,omitempty"`
	Reference string    `json:"transaction_reference"` // the charge's
	Status    string    `json:"status"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
	CreatedAt time.Time `json:"createdAt"`
}

func told(e Entry) refundData {
	return refundData{ID: e.ID, Reference: e.Reference, Status: e.Status, Amount: e.Amount, Currency: e.Currency,
		CreatedAt: e.At}
}

// refund answers that the refund is queued; what became of it is in the list
// and in a webhook.
func (e *Emulator) refund(w http.ResponseWriter, r *http.Request) {
	var q refundRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		answer(w, http.StatusBadRequest, response{Message: "Body: " + err.Error(), Code: "invalid_body"})
		return
	}
	fault := e.draw()
	if fault == "hang" && !e.hang(r.Context()) {
		return
	}

	status := "processed"
	if fault == "decline" {
		status = "failed"
	}

	entry, err := e.ledger.Refund(Entry{Reference: q.Transaction, Amount: q.Amount, Status: status, Gateway: q.Note,
		At: e.cfg.Now().UTC()})
	switch {
	case errors.Is(err, ErrNoCharge):
		answer(w, http.StatusNotFound, response{Message: "Transaction not found", Code: "transaction_not_found"})
	case errors.Is(err, ErrReversed):
		answer(w, http.StatusBadRequest, response{Message: "Transaction has been fully reversed", Code: "transaction_reversed"})
	case errors.Is(err, ErrExceeds):
		answer(w, http.StatusBadRequest, response{Message: "Refund amount exceeds the transaction's", Code: "invalid_params"})
	case err != nil:
		answer(w, http.StatusServiceUnavailable, response{Message: "Ledger not writable", Code: "unavailable"})
	default:
		e.tell(refunded(entry))
		queued := told(entry)
		queued.Status = "pending"
		reply(w, fault, response{Status: true, Message: "Refund has been queued for processing", Data: queued})
	}
}

// refunds lists the refunds of the charge with the id in ?transaction=.
func (e *Emulator) refunds(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.URL.Query().Get("transaction"), 10, 64)
	if err != nil {
		answer(w, http.StatusBadRequest, response{Message: "transaction must be an id", Code: "invalid_params"})
		return
	}

	list := []refundData{}
	for _, entry := range e.ledger.Refunds(id) {
		one := told(entry)
		one.Charge = id
		list = append(list, one)
	}

	answer(w, http.StatusOK, response{Status: true, Message: "Refunds retrieved", Data: list})
}
