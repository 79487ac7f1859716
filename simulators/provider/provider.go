// Package provider emulates a payment provider with the API of Paystack. It
// takes made-up money once per reference and gives it back. It keeps a ledger
// of its own that survives a crash, reports by webhook what it did, and
// misbehaves in named ways on request.
package provider

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/internal/sleep"
)

// Faults are probabilities from 0 to 1. They are drawn from Seed in the order
// of the charges and refunds, and separately in the order of the webhooks.
type Faults struct {
	Seed      uint64
	LoseReply float64 // Move the money, then cut the connection.
	Error500  float64 // Move the money, then answer 500.
	Hang      float64 // Do nothing for HangFor, then answer.
	HangFor   time.Duration
	Decline   float64

	DuplicateHook float64 // Send a webhook twice.
	LateHook      float64 // Send it after LateBy.
	ReorderHook   float64 // Send it after the next, or after LateBy if none.
	LateBy        time.Duration
	ForeignHook   float64 // Send an event of another kind after it.
}

// Config is how the emulator behaves.
type Config struct {
	Secret  string // Of the bearer header; it also signs webhooks.
	Webhook string // URL that gets events; empty: none are sent.
	Faults  Faults
	Counts  *Counts          // nil for none.
	Now     func() time.Time // nil: time.Now.
}

// Counts counts what nodes asked and did not hear. Its fields may be read at
// any time.
type Counts struct {
	// Calls is the number of requests about charges.
	Calls atomic.Int64
	// AnswersLost is the number of charges and refunds that were carried out,
	// but whose answer was cut off (Faults.LoseReply).
	AnswersLost atomic.Int64
	// ChargesRepeated is the number of charges under a known reference. No
	// money was taken for them.
	ChargesRepeated atomic.Int64
}

// Emulator is the provider's HTTP API over its ledger.
type Emulator struct {
	// Fixed at creation.
	cfg      Config
	ledger   *Ledger
	mux      *http.ServeMux
	webhooks *webhookSender // nil without a Webhook URL.

	mu  sync.Mutex // Guards rng.
	rng *rand.Rand
}

// NewEmulator returns an emulator that writes to ledger. The caller closes the
// emulator, then the ledger.
func NewEmulator(cfg Config, ledger *Ledger) *Emulator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Counts == nil {
		cfg.Counts = new(Counts)
	}
	e := &Emulator{cfg: cfg, ledger: ledger, mux: http.NewServeMux(),
		rng: rand.New(rand.NewPCG(cfg.Faults.Seed, 0x9e3779b97f4a7c15))}
	e.mux.HandleFunc("POST /transaction/charge_authorization", e.handleCharge)
	e.mux.HandleFunc("GET /transaction/verify/{reference}", e.handleVerify)
	e.mux.HandleFunc("POST /refund", e.handleRefund)
	e.mux.HandleFunc("GET /refund", e.handleListRefunds)
	e.mux.HandleFunc("GET /ledger", e.handleLedger)
	e.mux.HandleFunc("GET /calls", e.handleCalls)
	e.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if cfg.Webhook != "" {
		e.webhooks = newWebhookSender(cfg)
	}

	return e
}

// Close stops sending webhooks and waits for the sender. Webhooks that were not
// delivered are lost.
func (e *Emulator) Close() {
	if e.webhooks != nil {
		e.webhooks.stopAndWait()
	}
}

// ServeHTTP checks the secret, counts requests about charges, and serves the
// API.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Bearer " + e.cfg.Secret
	if r.URL.Path != "/healthz" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
		writeJSON(w, http.StatusUnauthorized, apiResponse{Message: "Invalid key", Code: "invalid_key"})
		return
	}
	if strings.HasPrefix(r.URL.Path, "/transaction/") {
		e.cfg.Counts.Calls.Add(1)
	}

	e.mux.ServeHTTP(w, r)
}

// handleCalls returns how often nodes asked, so that tests see repeated
// requests.
func (e *Emulator) handleCalls(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]int64{"calls": e.cfg.Counts.Calls.Load()})
}

type chargeRequest struct {
	Email         string `json:"email"`
	Amount        int64  `json:"amount"`
	Currency      string `json:"currency"`
	Authorization string `json:"authorization_code"`
	Reference     string `json:"reference"`
}

type apiResponse struct {
	Status  bool   `json:"status"`
	Message string `json:"message"`
	Code    string `json:"code,omitempty"`
	Data    any    `json:"data,omitempty"`
}

// handleCharge takes money once per reference, with the fault drawn for it.
func (e *Emulator) handleCharge(w http.ResponseWriter, r *http.Request) {
	var q chargeRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "Body: " + err.Error(), Code: "invalid_body"})
		return
	}
	if q.Reference == "" || len(q.Reference) > 128 || q.Amount <= 0 || len(q.Currency) != 3 || q.Authorization == "" || q.Email == "" {
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "A field is missing or out of range", Code: "invalid_params"})
		return
	}

	fault := e.drawFault()
	if fault == "hang" && !sleep.For(r.Context(), e.cfg.Faults.HangFor) {
		return
	}

	entry, err := e.ledger.Append(e.newEntry(q, fault))
	switch {
	case errors.Is(err, ErrDuplicate):
		e.cfg.Counts.ChargesRepeated.Add(1)
		writeJSON(w, http.StatusBadRequest, apiResponse{Message: "Duplicate Transaction Reference", Code: "duplicate_reference"})
	case errors.Is(err, ErrMismatch):
		writeJSON(w, http.StatusConflict, apiResponse{Message: "Reference was used for another amount", Code: "reference_mismatch"})
	case err != nil:
		writeJSON(w, http.StatusServiceUnavailable, apiResponse{Message: "Ledger not writable", Code: "unavailable"})
	default:
		e.sendWebhook(chargeEvent(entry))
		e.writeReply(w, fault, apiResponse{Status: true, Message: "Charge attempted", Data: entry})
	}
}

// writeReply answers what was done, unless the fault keeps the answer from the
// client.
func (e *Emulator) writeReply(w http.ResponseWriter, fault string, r apiResponse) {
	switch fault {
	case "lose_reply":
		e.cfg.Counts.AnswersLost.Add(1)
		// The documented way to cut a connection.
		panic(http.ErrAbortHandler)
	case "error_500":
		writeJSON(w, http.StatusInternalServerError, apiResponse{Message: "Something went wrong", Code: "internal"})
	default:
		writeJSON(w, http.StatusOK, r)
	}
}

// newEntry returns the ledger entry of a charge.
func (e *Emulator) newEntry(q chargeRequest, fault string) Entry {
	out := Entry{Status: "success", GatewayResponse: "Approved", Reference: q.Reference, Amount: q.Amount, Currency: q.Currency,
		Email: q.Email, At: e.cfg.Now().UTC()}
	if fault == "decline" {
		out.Status, out.GatewayResponse = "failed", "Declined"
	}
	return out
}

func (e *Emulator) handleVerify(w http.ResponseWriter, r *http.Request) {
	entry, ok := e.ledger.FindCharge(r.PathValue("reference"))
	if !ok {
		writeJSON(w, http.StatusNotFound, apiResponse{Message: "Transaction reference not found", Code: "transaction_not_found"})
		return
	}
	writeJSON(w, http.StatusOK, apiResponse{Status: true, Message: "Verification successful", Data: entry})
}

// handleLedger returns the whole ledger.
func (e *Emulator) handleLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// This fails only if the client left.
	_ = json.NewEncoder(w).Encode(e.ledger.Entries())
}

// drawFault draws the fault of one charge or refund, or "".
func (e *Emulator) drawFault() string {
	e.mu.Lock()
	x := e.rng.Float64()
	e.mu.Unlock()

	f := e.cfg.Faults
	for _, c := range []struct {
		name string
		p    float64
	}{{"lose_reply", f.LoseReply}, {"error_500", f.Error500}, {"hang", f.Hang}, {"decline", f.Decline}} {
		if x < c.p {
			return c.name
		}
		x -= c.p
	}

	return ""
}

func writeJSON(w http.ResponseWriter, code int, r any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// Fails only if the client left.
	_ = json.NewEncoder(w).Encode(r)
}

// Run serves an emulator on listen until ctx ends, with its ledger in a file,
// whose folder it makes if needed. An empty path keeps the ledger in memory.
// Run calls ready with the address once it listens, unless ready is nil.
func Run(ctx context.Context, listen, ledgerPath string, cfg Config, ready func(addr string)) error {
	if err := os.MkdirAll(filepath.Dir(ledgerPath), 0o755); err != nil {
		return fmt.Errorf("the folder of %s: %w", ledgerPath, err)
	}
	ledger, err := OpenLedger(ledgerPath)
	if err != nil {
		return err
	}

	ln, err := httpserver.Listen("--listen", listen)
	if err != nil {
		return errors.Join(fmt.Errorf("payment provider: %w", err), ledger.Close())
	}

	e := NewEmulator(cfg, ledger)
	srv := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	if ready != nil {
		ready(ln.Addr().String())
	}

	select {
	case err = <-served:
	case <-ctx.Done():
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		err = srv.Shutdown(late)
		cancel()
		if err != nil {
			err = srv.Close()
		}
		<-served
	}

	e.Close()
	return errors.Join(err, ledger.Close())
}
