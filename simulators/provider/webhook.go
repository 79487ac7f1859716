package provider

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	webhookTimeout    = 5 * time.Second // For an answer.
	maxWebhookTries   = 5
	webhookRetryPause = time.Second
)

// webhookEvent is a webhook's body.
type webhookEvent struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// chargeEvent is the webhook of a charge.
func chargeEvent(e Entry) webhookEvent {
	if e.Status != "success" {
		return webhookEvent{Event: "charge.failed", Data: e}
	}
	return webhookEvent{Event: "charge.success", Data: e}
}

// refundEvent is the webhook of a refund. It has the amount as text and no
// time, like Paystack's.
func refundEvent(e Entry) webhookEvent {
	return webhookEvent{Event: "refund." + e.Status, Data: map[string]any{"status": e.Status, "transaction_reference": e.Reference,
		"refund_reference": strconv.FormatInt(e.ID, 10), "amount": strconv.FormatInt(e.Amount, 10),
		"currency": e.Currency}}
}

// foreignEvents are webhooks of kinds that a node has no use for, with data of
// other forms than a charge's.
var foreignEvents = []string{
	`{"event":"transfer.success","data":{"reference":"trip-payout-1","amount":500000,"recipient":{"type":"nuban"}}}`,
	`{"event":"invoice.update","data":[{"amount":500000,"paid":1}]}`,
	`{"event":"subscription.expiring_cards","data":[]}`,
	`{"event":"balance.low","data":500000}`,
	`{"event":"charge.dispute.create","data":{"id":7,"reference":null,"created_at":"yesterday"}}`,
}

// sendWebhook schedules a webhook, if webhooks are configured.
func (e *Emulator) sendWebhook(ev webhookEvent) {
	if e.webhooks == nil {
		return
	}

	body, err := json.Marshal(ev)
	if err != nil {
		return // Impossible: every Entry can be encoded.
	}

	e.webhooks.scheduleWebhook(body)
}

// SignWebhook returns the signature header of a webhook's body: its HMAC-SHA512
// in hexadecimal.
func SignWebhook(secret string, body []byte) string {
	mac := hmac.New(sha512.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// delivery is a webhook on its way.
type delivery struct {
	body   []byte
	due    time.Time
	order  int  // Among deliveries due at the same time.
	isHeld bool // Until the next one is added, or until due.
	tries  int
}

// webhookSender delivers webhooks one after the other, from one goroutine.
type webhookSender struct {
	// Fixed at creation.
	cfg     Config
	client  *http.Client
	cancel  context.CancelFunc
	wake    chan struct{} // Of capacity 1.
	stopped chan struct{} // Closed when deliverAll returns.

	mu        sync.Mutex // Guards all below.
	rng       *rand.Rand
	waiting   []*delivery
	lastOrder int
}

// newWebhookSender starts a sender. The caller calls stopAndWait.
func newWebhookSender(cfg Config) *webhookSender {
	ctx, stop := context.WithCancel(context.Background())
	h := &webhookSender{cfg: cfg, cancel: stop, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		client: &http.Client{Timeout: webhookTimeout, Transport: &http.Transport{}},
		rng:    rand.New(rand.NewPCG(cfg.Faults.Seed, 0xbf58476d1ce4e5b9))}
	go h.deliverAll(ctx)
	return h
}

// stopAndWait stops the sender and waits for its goroutine.
func (h *webhookSender) stopAndWait() {
	h.cancel()
	<-h.stopped
	h.client.CloseIdleConnections()
}

// scheduleWebhook plans a webhook, with the fault drawn for it, and releases
// those that were held until the next one.
func (h *webhookSender) scheduleWebhook(body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()

	now, f, x := time.Now(), h.cfg.Faults, h.rng.Float64()
	held := h.heldDeliveries()

	switch d := (&delivery{body: body, due: now}); {
	case x < f.DuplicateHook:
		h.enqueueDelivery(d)
		h.enqueueDelivery(&delivery{body: body, due: now})
	case x < f.DuplicateHook+f.LateHook:
		d.due = now.Add(f.LateBy)
		h.enqueueDelivery(d)
	case x < f.DuplicateHook+f.LateHook+f.ReorderHook:
		d.due, d.isHeld = now.Add(f.LateBy), true
		h.enqueueDelivery(d)
	default:
		h.enqueueDelivery(d)
	}

	if f.ForeignHook > 0 && h.rng.Float64() < f.ForeignHook {
		body := foreignEvents[h.rng.IntN(len(foreignEvents))]
		h.enqueueDelivery(&delivery{body: []byte(body), due: now})
	}

	for _, d := range held {
		d.due, d.isHeld = now, false
		h.lastOrder++
		d.order = h.lastOrder
	}

	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *webhookSender) heldDeliveries() (held []*delivery) {
	for _, d := range h.waiting {
		if d.isHeld {
			held = append(held, d)
		}
	}
	return held
}

func (h *webhookSender) enqueueDelivery(d *delivery) {
	h.lastOrder++
	d.order = h.lastOrder
	h.waiting = append(h.waiting, d)
}

func (h *webhookSender) deliverAll(ctx context.Context) {
	defer close(h.stopped)
	for {
		d, wait := h.takeDue(time.Now())
		if d != nil {
			h.deliverOnce(ctx, d)
			continue
		}

		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-h.wake:
		case <-timer.C:
		}

		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// takeDue removes and returns a delivery that is due, or returns how long to
// wait.
func (h *webhookSender) takeDue(now time.Time) (*delivery, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()

	first := -1
	for i, d := range h.waiting {
		if first < 0 || d.due.Before(h.waiting[first].due) ||
			(d.due.Equal(h.waiting[first].due) && d.order < h.waiting[first].order) {
			first = i
		}
	}

	if first < 0 {
		return nil, time.Hour
	}

	d := h.waiting[first]
	if wait := d.due.Sub(now); wait > 0 {
		return nil, wait
	}

	h.waiting = append(h.waiting[:first], h.waiting[first+1:]...)
	return d, 0
}

// deliverOnce sends a webhook. It schedules it again unless the answer was 200
// or the tries are used up.
func (h *webhookSender) deliverOnce(ctx context.Context, d *delivery) {
	d.tries++
	if h.postWebhook(ctx, d.body) || d.tries == maxWebhookTries || ctx.Err() != nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	d.due = time.Now().Add(webhookRetryPause)
	h.enqueueDelivery(d)
}

// postWebhook reports whether the receiver answered 200.
func (h *webhookSender) postWebhook(ctx context.Context, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.Webhook, bytes.NewReader(body))
	if err != nil {
		return false
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Paystack-Signature", SignWebhook(h.cfg.Secret, body))

	resp, err := h.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()

	// Only the status counts.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode == http.StatusOK
}
