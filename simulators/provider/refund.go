package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

type refundRequest struct {
	Transaction string `json:"transaction"` // The charge's reference.
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Note        string `json:"merchant_note"`
}

// refundData is a refund in the provider's answers.
type refundData struct {
	ID        int64     `json:"id"`
	Charge    int64     `json:"transaction,omitempty"` // Charge's id, in lists.
	Reference string    `json:"transaction_reference"` // The charge's.
	Status    string    `json:"status"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
	CreatedAt time.Time `json:"createdAt"`
}

func newRefundData(e Entry) refundData {
	return refundData{ID: e.ID, Reference: e.Reference, Status: e.Status, Amount: e.Amount, Currency: e.Currency,
		CreatedAt: e.At}
}

// handleRefund answers that the refund is queued. The result is in the list of
// refunds and in a webhook.
func (e *Emulator) handleRefund(w http.ResponseWriter, r *http.Request) {
	var q refundRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "Body: " + err.Error(), Code: "invalid_body"})
		return
	}
	fault := e.drawFault()
	if fault == "hang" && !sleep.For(r.Context(), e.cfg.Faults.HangFor) {
		return
	}

	status := "processed"
	if fault == "decline" {
		status = "failed"
	}

	entry, err := e.ledger.Refund(Entry{Reference: q.Transaction, Amount: q.Amount, Status: status, GatewayResponse: q.Note,
		At: e.cfg.Now().UTC()})
	switch {
	case errors.Is(err, ErrNoCharge):
		writeJSON(w, http.StatusNotFound, apiResponse{Message: "Transaction not found", Code: "transaction_not_found"})
	case errors.Is(err, ErrReversed):
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "Transaction has been fully reversed", Code: "transaction_reversed"})
	case errors.Is(err, ErrExceeds):
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "Refund amount exceeds the transaction's", Code: "invalid_params"})
	case err != nil:
		writeJSON(w, http.StatusServiceUnavailable, apiResponse{Message: "Ledger not writable", Code: "unavailable"})
	default:
		e.sendWebhook(refundEvent(entry))
		queued := newRefundData(entry)
		queued.Status = "pending"
		e.writeReply(w, fault, apiResponse{Status: true, Message: "Refund has been queued for processing", Data: queued})
	}
}

// handleListRefunds lists the refunds of the charge with the id in
// ?transaction=.
func (e *Emulator) handleListRefunds(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.URL.Query().Get("transaction"), 10, 64)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "transaction must be an id", Code: "invalid_params"})
		return
	}

	list := []refundData{}
	for _, entry := range e.ledger.RefundsOf(id) {
		one := newRefundData(entry)
		one.Charge = id
		list = append(list, one)
	}

	writeJSON(w, http.StatusOK, apiResponse{Status: true, Message: "Refunds retrieved", Data: list})
}
