package payments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// ChargeOrder asks a provider to take money, at most once per reference.
type ChargeOrder struct {
	Reference     string
	Amount        trips.Money
	Email         string
	Authorization string // the rider's stored card, as the provider named it
}

// Payment is money a provider says it took.
type Payment struct {
	ID        string
	Reference string
	Amount    trips.Money
}

// Answers of a provider that a settler must tell apart. Any other error is
// ambiguous: the money may have been taken.
var (
	ErrDuplicate        = errors.New("the provider has seen this reference before")
	ErrUnknownReference = errors.New("the provider does not know this reference")
	ErrDeclined         = errors.New("the provider declined the payment")
	ErrRefused          = errors.New("the provider refused the request; check its address, secret and our data")
)

// HTTPProvider is a client of Paystack's interface: it charges an
// authorization, verifies a transaction, and creates and lists refunds. It may
// be used from many goroutines.
type HTTPProvider struct {
	URL     string
	Secret  string
	Timeout time.Duration // for one request; 3 s when zero
	Client  *http.Client  // http.DefaultClient when nil
}

type chargeRequest struct {
	Email         string `json:"email"`
	Amount        int64  `json:"amount"`
	Currency      string `json:"currency"`
	Authorization string `json:"authorization_code"`
	Reference     string `json:"reference"`
}

// providerReply is the envelope of every answer.
type providerReply struct {
	Status  bool            `json:"status"`
	Message string          `json:"message"`
	Code    string          `json:"code"`
	Data    json.RawMessage `json:"data"`
}

// providerTransaction is the data of a charge or of its verification.
type providerTransaction struct {
	ID        int64  `json:"id"`
	Status    string `json:"status"`
	Reference string `json:"reference"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Gateway   string `json:"gateway_response"`
}

// Charge takes the money. ErrDuplicate does not say whether the first attempt
// succeeded; VerifyCharge does. Errors: ErrDuplicate, ErrDeclined, ErrRefused,
// or an ambiguous one.
func (p *HTTPProvider) Charge(ctx context.Context, o ChargeOrder) (Payment, error) {
	body, err := json.Marshal(chargeRequest{o.Email, o.Amount.Minor, o.Amount.Currency, o.Authorization, o.Reference})
	if err != nil {
		return Payment{}, fmt.Errorf("charge %s: %w", o.Reference, err)
	}

	code, r, err := p.doRequest(ctx, http.MethodPost, "/transaction/charge_authorization", body)
	if err != nil {
		return Payment{}, fmt.Errorf("charge %s: %w", o.Reference, err)
	}
	if code == http.StatusBadRequest &&
		(r.Code == "duplicate_reference" || strings.Contains(strings.ToLower(r.Message), "duplicate")) {
		return Payment{}, fmt.Errorf("charge %s: %w", o.Reference, ErrDuplicate)
	}
	return r.toPayment(code, o.Reference)
}

// VerifyCharge asks what became of a reference. Errors: ErrUnknownReference
// when no money was taken under it, ErrDeclined, ErrRefused, or an ambiguous
// one.
func (p *HTTPProvider) VerifyCharge(ctx context.Context, reference string) (Payment, error) {
	code, r, err := p.doRequest(ctx, http.MethodGet, "/transaction/verify/"+url.PathEscape(reference), nil)
	if err != nil {
		return Payment{}, fmt.Errorf("verify %s: %w", reference, err)
	}
	if code == http.StatusNotFound {
		return Payment{}, fmt.Errorf("verify %s: %w", reference, ErrUnknownReference)
	}
	return r.toPayment(code, reference)
}

// toPayment reads an answer about a charge. An answer that is not clearly about
// this reference is an error, never a payment.
func (r providerReply) toPayment(code int, reference string) (Payment, error) {
	var t providerTransaction

	if code == http.StatusOK {
		if err := json.Unmarshal(r.Data, &t); err != nil {
			return Payment{}, fmt.Errorf("%s: provider's answer: %w", reference, err)
		}
	}

	switch {
	case r.Status && t.Status == "success" && t.Reference == reference && t.ID > 0:
		// The id is required because a refund needs it.
		return Payment{ID: strconv.FormatInt(t.ID, 10), Reference: reference,
			Amount: trips.Money{Minor: t.Amount, Currency: t.Currency}}, nil
	case t.Status == "failed":
		return Payment{}, fmt.Errorf("%s: %w: %s", reference, ErrDeclined, t.Gateway)
	case t.Status == "reversed":
		return Payment{}, fmt.Errorf("%s: %w: it was paid and given back; a person must look", reference, ErrRefused)
	case isFinalRefusal(code):
		return Payment{}, fmt.Errorf("%s: %w: %d %s", reference, ErrRefused, code, r.Message)
	}

	return Payment{}, fmt.Errorf("%s: provider answered %d %s %s", reference, code, r.Message, t.Status)
}

// isFinalRefusal reports whether a status code is a refusal that repeating the
// request does not change.
func isFinalRefusal(code int) bool {
	return code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout
}

// maxReplyBytes bounds what is read of an answer.
const maxReplyBytes = 64 << 10

// doRequest sends one request within the timeout and returns the status code
// and the decoded envelope.
func (p *HTTPProvider) doRequest(ctx context.Context, method, path string, body []byte) (int, providerReply, error) {
	timeout := p.Timeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, method, p.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, providerReply{}, err
	}

	req.Header.Set("Authorization", "Bearer "+p.Secret)
	req.Header.Set("Content-Type", "application/json")
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}

	resp, err := client.Do(req)
	if err != nil {
		return 0, providerReply{}, err
	}
	defer resp.Body.Close()

	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes))
	if err != nil {
		return 0, providerReply{}, err
	}

	var r providerReply
	if err := json.Unmarshal(raw, &r); err != nil && resp.StatusCode == http.StatusOK {
		return 0, providerReply{}, fmt.Errorf("provider's answer: %w", err)
	}
	return resp.StatusCode, r, nil
}
