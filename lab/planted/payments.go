package planted

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"

	"github.com/ridehail/ridehail/simulators/provider"
)

// openProvider starts the provider: an emulator behind HTTP, with a ledger of
// its own.
func (s *stage) openProvider() error {
	ledger, err := provider.OpenLedger(s.ledgerFile())
	if err != nil {
		return err
	}
	emulator := provider.NewEmulator(provider.Config{Secret: "sk"}, ledger)
	s.end = append(s.end, func() { emulator.Close(); _ = ledger.Close() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.servePayment(emulator, w, r) })}
	s.payAt = "http://" + listener.Addr().String()
	s.goRun(context.Background(), func(context.Context) error { return server.Serve(listener) })
	s.end = append(s.end, func() { _ = server.Close() })
	return nil
}

// answer is an answer of the provider that is not sent yet.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answer) WriteHeader(code int)        { a.code = code }

// answerOf returns the provider's answer to a request.
func answerOf(emulator http.Handler, r *http.Request) *answer {
	a := &answer{header: http.Header{}, code: http.StatusOK}
	emulator.ServeHTTP(a, r)
	return a
}

func (a *answer) sendTo(w http.ResponseWriter) {
	w.Header().Set("Content-Type", a.header.Get("Content-Type"))
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body.Bytes())
}

// servePayment is the provider's side of one request.
func (s *stage) servePayment(emulator http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.trace.addMessage(worker, payer, "did you take it?")
		a := answerOf(emulator, r)
		s.trace.addMessage(payer, worker, map[bool]string{true: "yes", false: "no such reference"}[a.code == http.StatusOK])
		a.sendTo(w)
		return
	}

	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<10))
	if err != nil {
		return
	}
	var asked struct{ Reference string }
	_ = json.Unmarshal(body, &asked) // the emulator refuses what is no order
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.trace.addMessage(worker, payer, "charge "+s.renameIDs(asked.Reference))

	a := answerOf(emulator, r)
	if a.code == http.StatusOK {
		s.trace.addEvent(payer, "takes the fare")
	}
	if s.takeFault(&s.loseAnswer) {
		s.trace.addLoss(payer, worker, "taken")
		panic(http.ErrAbortHandler)
	}
	s.trace.addMessage(payer, worker, map[bool]string{true: "taken", false: "no"}[a.code == http.StatusOK])
	a.sendTo(w)
}
