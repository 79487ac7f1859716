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
	hookTimeout = 5 * time.Second // for an answer
	hookTries   = 5
	hookRest    = time.Second // between two tries
)

// event is a webhook's body.
type event struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

func charged(e Entry) event {
	if e.Status != "success" {
		return event{Event: "charge.failed", Data: e}
	}
	return event{Event: "charge.success", Data: e}
}

// refunded has the amount as text and no time, as the real ones do.
func refunded(e Entry) event {
	return event{Event: "refund." + e.Status, Data: map[string]any{"status": e.Status, "transaction_reference": e.Reference,
		"refund_reference": strconv.FormatInt(e.ID, 10), "amount": strconv.FormatInt(e.Amount, 10),
		"currency": e.Currency}}
}

func (e *Emulator) tell(ev event) {
	if e.hooks == nil {
		return
	}

	body, err := json.Marshal(ev)
	if err != nil {
		return // an Entry always has a text
	}

	e.hooks.add(body)
}

// Sign returns the signature header of a webhook's body.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha512.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// delivery is a webhook on its way.
type delivery struct {
	body  []byte
	due   time.Time
	order int  // among those due at one time
	held  bool // until the next one was added, or until due
	tries int
}

// hooks delivers webhooks one after the other, from one goroutine.
type hooks struct {
	cfg    Config
	client *http.Client
	stop   context.CancelFunc
	wake   chan struct{} // of size 1
	ended  chan struct{}

	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	waiting []*delivery
	added   int
}

func newHooks(cfg Config) *hooks {
	ctx, stop := context.WithCancel(context.Background())
	h := &hooks{cfg: cfg, stop: stop, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		client: &http.Client{Timeout: hookTimeout, Transport: &http.Transport{}},
		rng:    rand.New(rand.NewPCG(cfg.Faults.Seed, 0xbf58476d1ce4e5b9))}
	go h.run(ctx)
	return h
}

func (h *hooks) close() {
	h.stop()
	<-h.ended
	h.client.CloseIdleConnections()
}

// add plans a webhook, with the fault drawn for it.
func (h *hooks) add(body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()

	now, f, x := time.Now(), h.cfg.Faults, h.rng.Float64()
	held := h.held()

	switch d := (&delivery{body: body, due: now}); {
	case x < f.DuplicateHook:
		h.plan(d)
		h.plan(&delivery{body: body, due: now})
	case x < f.DuplicateHook+f.LateHook:
		d.due = now.Add(f.LateBy)
		h.plan(d)
	case x < f.DuplicateHook+f.LateHook+f.ReorderHook:
		d.due, d.held = now.Add(f.LateBy), true
		h.plan(d)
	default:
		h.plan(d)
	}

	for _, d := range held {
		d.due, d.held = now, false
		h.added++
		d.order = h.added
	}

	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hooks) held() (held []*delivery) {
	for _, d := range h.waiting {
		if d.held {
			held = append(held, d)
		}
	}
	return held
}

func (h *hooks) plan(d *delivery) {
	h.added++
	d.order = h.added
	h.waiting = append(h.waiting, d)
}

func (h *hooks) run(ctx context.Context) {
	defer close(h.ended)
	for {
		d, wait := h.next(time.Now())
		if d != nil {
			h.deliver(ctx, d)
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

// next takes what is due, or says how long to wait for it.
func (h *hooks) next(now time.Time) (*delivery, time.Duration) {
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

// deliver sends once; what is not answered with 200 is sent again later.
func (h *hooks) deliver(ctx context.Context, d *delivery) {
	d.tries++
	if h.post(ctx, d.body) || d.tries == hookTries || ctx.Err() != nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	d.due = time.Now().Add(hookRest)
	h.plan(d)
}

func (h *hooks) post(ctx context.Context, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.Webhook, bytes.NewReader(body))
	if err != nil {
		return false
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Paystack-Signature", Sign(h.cfg.Secret, body))

	resp, err := h.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()

	// only the status counts
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode == http.StatusOK
}
