package payments

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// SignatureHeader carries the hex HMAC-SHA512 of a webhook's raw body under our
// secret key at the provider.
const SignatureHeader = "X-Paystack-Signature"

const (
	maxWebhookBytes = 64 << 10
	maxEventAge     = 5 * time.Minute
)

// The reasons to refuse a webhook.
var (
	ErrSignature = errors.New("the signature is not the provider's")
	ErrStale     = errors.New("the event is more than five minutes old, or its time is missing")
	ErrMalformed = errors.New("the body is not an event")
)

// Webhook receives the provider's events. Of an event it trusts only which trip
// it is about: a settlement job then asks the provider itself. So events may
// come twice, late, in any order or never; they only make the job come sooner.
type Webhook struct {
	Secret  string // our key at the provider; never empty
	Charges Store
	Refunds RefundStore
	Queue   Queue
	Stream  string
	Now     func() time.Time
	Log     *slog.Logger
}

// webhookEvent is the part of an event that is used.
type webhookEvent struct {
	Event string `json:"event"`
	Data  struct {
		Reference   string    `json:"reference"`             // of charge.*
		Transaction string    `json:"transaction_reference"` // of refund.*
		PaidAt      time.Time `json:"paid_at"`
		CreatedAt   time.Time `json:"created_at"`
	} `json:"data"`
}

// ServeHTTP answers 200 to an event that was accepted, even if it was nothing
// new. The provider sends an event again after any other status.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhookBytes))
	if err == nil {
		err = h.Receive(r.Context(), body, r.Header.Get(SignatureHeader))
	}
	if err == nil {
		return
	}

	code, tooLarge := http.StatusServiceUnavailable, new(http.MaxBytesError)
	switch {
	case errors.As(err, &tooLarge):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrSignature):
		code = http.StatusUnauthorized
	case errors.Is(err, ErrStale), errors.Is(err, ErrMalformed):
		code = http.StatusBadRequest
	}

	h.Log.Warn("a payment webhook was refused", "status", code, "err", err)
	http.Error(w, http.StatusText(code), code)
}

// Receive accepts one event and queues its trip's settlement if that is due.
// Errors: ErrSignature, ErrMalformed, ErrStale, or that of the store or the
// queue.
func (h *Webhook) Receive(ctx context.Context, body []byte, signature string) error {
	if !h.hasValidSignature(body, signature) {
		return ErrSignature
	}

	var e webhookEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}

	news, err := h.tripToSettle(ctx, e)
	if err != nil || news == "" {
		return err
	}
	return h.Queue.EnqueueJob(ctx, h.Stream, string(news), []byte(news))
}

// hasValidSignature checks the bytes as they came; a body that was decoded and
// encoded again would differ.
func (h *Webhook) hasValidSignature(body []byte, signature string) bool {
	given, err := hex.DecodeString(signature)
	if err != nil || h.Secret == "" {
		return false
	}
	mac := hmac.New(sha512.New, []byte(h.Secret))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), given)
}

// tripToSettle returns the trip that needs a settlement job after this event,
// or "" when the event is not about one of our trips or its money is in order.
func (h *Webhook) tripToSettle(ctx context.Context, e webhookEvent) (trips.TripID, error) {
	reference := e.Data.Reference
	if strings.HasPrefix(e.Event, "refund.") {
		reference = e.Data.Transaction
	} else if e.Event != "charge.success" {
		return "", nil
	}

	suffix, ours := strings.CutPrefix(reference, ChargeReference(""))
	if !ours || suffix == "" {
		return "", nil
	}

	id := trips.TripID(suffix)
	if e.Event == "charge.success" {
		return h.tripIfUncharged(ctx, id, cmp.Or(e.Data.PaidAt, e.Data.CreatedAt))
	}

	return h.tripIfRefundOpen(ctx, id)
}

// tripIfUncharged returns id if the trip has no charge yet. An event without a
// recent time is ErrStale.
func (h *Webhook) tripIfUncharged(ctx context.Context, id trips.TripID, at time.Time) (trips.TripID, error) {
	if h.Now().Sub(at).Abs() > maxEventAge {
		return "", ErrStale
	}
	_, err := h.Charges.Charge(ctx, id)
	if errors.Is(err, trips.ErrNotFound) {
		return id, nil
	}
	return "", err
}

// tripIfRefundOpen returns id if the trip's refund is open. It checks no time,
// which these events lack: while a refund is open, one more look does no harm.
func (h *Webhook) tripIfRefundOpen(ctx context.Context, id trips.TripID) (trips.TripID, error) {
	r, err := h.Refunds.Refund(ctx, id)
	if errors.Is(err, trips.ErrNotFound) || (err == nil && r.State != RefundRequested) {
		return "", nil
	}
	return id, err
}
