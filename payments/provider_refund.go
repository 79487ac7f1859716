package payments

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ridehail/ridehail/trips"
)

// RefundOrder asks a provider to give back the whole amount of a payment. The
// provider does so only once.
type RefundOrder struct {
	Transaction string // the payment's reference
	Amount      trips.Money
	Reason      string
}

// ProviderRefund is money that a provider gives back: RefundRequested while it
// works on it, then RefundDone or RefundFailed.
type ProviderRefund struct {
	ID     string
	Status RefundState
	Amount trips.Money
}

type repayRequest struct {
	Transaction string `json:"transaction"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Note        string `json:"merchant_note"`
}

// providerRefund is the provider's data of a refund.
type providerRefund struct {
	ID       int64  `json:"id"`
	Status   string `json:"status"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	// Transaction is the payment's id in a list of refunds. In the answer to a
	// new refund it is an object, which is not read.
	Transaction json.RawMessage `json:"transaction"`
}

// toProviderRefund maps the provider's states to ours. Every state but processed and
// failed means that the provider still works on it.
func (r providerRefund) toProviderRefund() ProviderRefund {
	status := RefundRequested // pending, processing, needs-attention
	switch r.Status {
	case "processed":
		status = RefundDone
	case "failed":
		status = RefundFailed
	}
	return ProviderRefund{ID: strconv.FormatInt(r.ID, 10), Status: status,
		Amount: trips.Money{Minor: r.Amount, Currency: r.Currency}}
}

// CreateRefund gives the money back. ErrDuplicate means that it was given back
// before; ListRefunds says how.
func (p *HTTPProvider) CreateRefund(ctx context.Context, o RefundOrder) (ProviderRefund, error) {
	what := "refund of " + o.Transaction
	body, err := json.Marshal(repayRequest{o.Transaction, o.Amount.Minor, o.Amount.Currency, o.Reason})
	if err != nil {
		return ProviderRefund{}, fmt.Errorf("%s: %w", what, err)
	}

	code, r, err := p.doRequest(ctx, http.MethodPost, "/refund", body)
	if err != nil {
		return ProviderRefund{}, fmt.Errorf("%s: %w", what, err)
	}
	if code == http.StatusBadRequest &&
		(r.Code == "transaction_reversed" || strings.Contains(strings.ToLower(r.Message), "fully reversed")) {
		return ProviderRefund{}, fmt.Errorf("%s: %w", what, ErrDuplicate)
	}

	var data providerRefund
	if err := r.decodeRefund(what, code, &data); err != nil {
		return ProviderRefund{}, err
	}

	return data.toProviderRefund(), nil
}

// ListRefunds returns the refunds of a payment, named by the provider's id,
// newest first. A list that holds another payment's refund is ErrRefused: taken
// for ours, it would keep a rider's money.
func (p *HTTPProvider) ListRefunds(ctx context.Context, paymentID string) ([]ProviderRefund, error) {
	what := "refunds of payment " + paymentID
	code, r, err := p.doRequest(ctx, http.MethodGet, "/refund?transaction="+url.QueryEscape(paymentID), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}

	var data []providerRefund
	if err := r.decodeRefund(what, code, &data); err != nil {
		return nil, err
	}

	slices.SortFunc(data, func(a, b providerRefund) int { return cmp.Compare(b.ID, a.ID) })
	all := make([]ProviderRefund, len(data))
	for i, d := range data {
		if of := string(d.Transaction); of != paymentID {
			return nil, fmt.Errorf("%s: %w: refund %d is of payment %q", what, ErrRefused, d.ID, of)
		}
		all[i] = d.toProviderRefund()
	}

	return all, nil
}

// decodeRefund reads an answer about refunds.
func (r providerReply) decodeRefund(what string, code int, into any) error {
	switch {
	case code == http.StatusOK && r.Status:
		if err := json.Unmarshal(r.Data, into); err != nil {
			return fmt.Errorf("%s: provider's answer: %w", what, err)
		}
		return nil
	case isFinalRefusal(code):
		return fmt.Errorf("%s: %w: %d %s", what, ErrRefused, code, r.Message)
	}
	return fmt.Errorf("%s: provider answered %d %s", what, code, r.Message)
}
