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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/trips"
)

// SignatureHeader carries the hex HMAC-SHA512 of a webhook's raw body under our
// secret key at the provider.
const SignatureHeader = "X-Paystack-Signature"

const (
	maxWebhookBytes = 64 << 10
	maxEventAge     = 5 * time.Minute
)

// ErrSignature is the only reason to refuse a webhook for good.
var ErrSignature = errors.New("the signature is not the provider's")

// What became of webhooks, as ridehail_payments_webhooks_total counts them.
const (
	webhookQueued     = "queued"     // a job was queued
	webhookSettled    = "settled"    // the trip's money is in order already
	webhookIgnored    = "ignored"    // of another kind, or of no trip of ours
	webhookStale      = "stale"      // a charge without a recent time
	webhookUnreadable = "unreadable" // signed, and not as documented
	webhookRefused    = "refused"    // not signed by the provider, or too large
	webhookFailed     = "failed"     // the store or the queue is away
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

	heard *prometheus.CounterVec // by outcome
}

// NewWebhook returns h with its counter registered.
func NewWebhook(h Webhook, registerer prometheus.Registerer) *Webhook {
	h.heard = promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{Name: "ridehail_payments_webhooks_total",
		Help: "Webhooks of the payment provider by outcome: queued, settled, ignored, stale, unreadable, refused, failed."},
		[]string{"outcome"})
	return &h
}

// webhookEvent is an event of any kind. Only the kinds that are used have data
// of a known form: others send lists, numbers or nothing.
type webhookEvent struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// ServeHTTP answers 200 to everything that the provider signed, also to what is
// of no use here: after any other status it sends the same bytes again, for 72
// hours. An answer of 503 asks for that.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhookBytes))
	outcome := webhookRefused
	if err == nil {
		outcome, err = h.receive(r.Context(), body, r.Header.Get(SignatureHeader))
	}

	h.heard.WithLabelValues(outcome).Inc()
	if err == nil {
		return
	}

	code, tooLarge := http.StatusServiceUnavailable, new(http.MaxBytesError)
	switch {
	case outcome == webhookUnreadable:
		h.Log.Error("a signed payment webhook cannot be read; its trip is settled without it, but look at what the "+
			"provider changed", "err", err)
		return
	case outcome == webhookStale:
		h.Log.Warn("a signed payment webhook is not of the last five minutes; its trip is settled without it", "err", err)
		return
	case errors.As(err, &tooLarge):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrSignature):
		code = http.StatusUnauthorized
	}

	h.Log.Warn("a payment webhook was refused", "status", code, "err", err)
	http.Error(w, http.StatusText(code), code)
}

// receive accepts one event and queues its trip's settlement if that is due. It
// returns what became of the event, with the reason unless that is as it should
// be.
func (h *Webhook) receive(ctx context.Context, body []byte, signature string) (outcome string, err error) {
	if !h.hasValidSignature(body, signature) {
		return webhookRefused, ErrSignature
	}

	var e webhookEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return webhookUnreadable, fmt.Errorf("the body is not an event: %w", err)
	}

	var id trips.TripID
	switch {
	case e.Event == "charge.success":
		id, outcome, err = h.tripOfCharge(ctx, e.Data)
	case strings.HasPrefix(e.Event, "refund."):
		id, outcome, err = h.tripOfRefund(ctx, e.Data)
	default:
		return webhookIgnored, nil
	}

	if outcome != webhookQueued {
		return outcome, err
	}
	if err := h.Queue.EnqueueJob(ctx, h.Stream, string(id), []byte(id)); err != nil {
		return webhookFailed, err
	}
	return webhookQueued, nil
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

// tripOfReference returns the trip of a charge's reference; false if it is none
// of ours.
func tripOfReference(reference string) (trips.TripID, bool) {
	id, ours := strings.CutPrefix(reference, ChargeReference(""))
	return trips.TripID(id), ours && text.IsID(id)
}

// tripOfCharge returns the trip of a charge that was made, and webhookQueued if
// it needs a settlement job, because it has no charge here yet.
func (h *Webhook) tripOfCharge(ctx context.Context, data json.RawMessage) (id trips.TripID, outcome string, err error) {
	var of struct {
		Reference string    `json:"reference"`
		PaidAt    time.Time `json:"paid_at"`
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return "", webhookUnreadable, fmt.Errorf("the data of charge.success: %w", err)
	}

	id, ours := tripOfReference(of.Reference)
	if !ours {
		return "", webhookIgnored, nil
	}
	if at := cmp.Or(of.PaidAt, of.CreatedAt); h.Now().Sub(at).Abs() > maxEventAge {
		return id, webhookStale, fmt.Errorf("a charge of trip %s at %v", id, at)
	}

	switch _, err := h.Charges.Charge(ctx, id); {
	case errors.Is(err, trips.ErrNotFound):
		return id, webhookQueued, nil
	case err != nil:
		return id, webhookFailed, err
	}
	return id, webhookSettled, nil
}

// tripOfRefund returns the trip of a refund, and webhookQueued if its refund is
// open here. It checks no time, which these events lack: while a refund is open,
// one more look does no harm.
func (h *Webhook) tripOfRefund(ctx context.Context, data json.RawMessage) (id trips.TripID, outcome string, err error) {
	var of struct {
		Transaction string `json:"transaction_reference"`
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return "", webhookUnreadable, fmt.Errorf("the data of a refund: %w", err)
	}

	id, ours := tripOfReference(of.Transaction)
	if !ours {
		return "", webhookIgnored, nil
	}

	switch r, err := h.Refunds.Refund(ctx, id); {
	case errors.Is(err, trips.ErrNotFound):
		return id, webhookIgnored, nil
	case err != nil:
		return id, webhookFailed, err
	case r.State != RefundRequested:
		return id, webhookSettled, nil
	}
	return id, webhookQueued, nil
}
