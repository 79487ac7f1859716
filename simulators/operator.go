package simulators

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/simulators/journal"
)

// OperatorConfig describes an operator who acknowledges calls for help.
type OperatorConfig struct {
	// AdminURLs are the nodes' admin APIs, http://HOST:PORT. The operator asks
	// the next one when one does not answer.
	AdminURLs []string

	// PollInterval is the time between two polls of open calls. 0 means 1 s.
	PollInterval time.Duration
	// MeanThinkTime is from the first sight of a call to its ack; 0 means 3 s.
	MeanThinkTime time.Duration

	Seed    uint64
	Stats   *Stats           // nil for none
	Log     *slog.Logger     // nil for none
	Journal *journal.Journal // nil for none
}

const (
	roleOperator = "operator"
	adminTimeout = 2 * time.Second // for one answer
)

// RunOperator acknowledges calls for help until the context ends, and then
// returns nil. It returns an error when there is no admin URL.
func RunOperator(ctx context.Context, cfg OperatorConfig) error {
	cfg.PollInterval, cfg.MeanThinkTime = cmp.Or(cfg.PollInterval, time.Second), cmp.Or(cfg.MeanThinkTime, 3*time.Second)
	if len(cfg.AdminURLs) == 0 {
		return errors.New("an operator needs the admin URL of a node")
	}
	if cfg.Stats == nil {
		cfg.Stats = NewStats()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}

	o := &operator{OperatorConfig: cfg, name: uuid.NewString(), rng: newRandomStream(cfg.Seed, roleOperator, "thoughts"),
		calls:  map[string]*openCall{},
		client: &http.Client{Timeout: adminTimeout, Transport: &http.Transport{}}}
	defer o.client.CloseIdleConnections()

	for sleep.For(ctx, cfg.PollInterval) {
		o.pollCalls(ctx)
	}
	o.recordUnfinished()
	return nil
}

// operator is one user of the operators' page. One goroutine owns it.
type operator struct {
	// Fixed at creation.
	OperatorConfig
	name   string
	rng    *rand.Rand
	client *http.Client

	currentURL   int                  // index of the URL that answered last
	calls        map[string]*openCall // by id: those seen and not acknowledged
	commandCount int
}

// openCall is a call for help that is not acknowledged.
type openCall struct {
	trip          string
	acknowledgeAt time.Time
	// command is the id of the acknowledgement; "" before the first attempt.
	command string
}

// pollCalls reads the open calls and acknowledges those that are due.
func (o *operator) pollCalls(ctx context.Context) {
	var page struct {
		Alerts []struct {
			ID   string `json:"id"`
			Trip string `json:"trip"`
		} `json:"alerts"`
	}
	if _, err := o.requestAny(ctx, http.MethodGet, "/ops/alerts", &page); err != nil {
		o.Log.Debug("no admin API lists the calls for help", "err", err)
		return
	}

	now, open := time.Now(), map[string]bool{}
	for _, a := range page.Alerts {
		open[a.ID] = true
		if o.calls[a.ID] == nil {
			o.calls[a.ID] = &openCall{trip: a.Trip, acknowledgeAt: now.Add(time.Duration(o.rng.ExpFloat64() * float64(o.MeanThinkTime)))}
		}
	}

	for id, p := range o.calls {
		if isDue(p.acknowledgeAt, now) && ctx.Err() == nil {
			o.acknowledgeCall(ctx, id, p)
		}
		if p.command == "" && !open[id] {
			delete(o.calls, id) // Another operator acknowledged it.
		}
	}
}

// acknowledgeCall acknowledges a call. If no answer comes, the next poll tries
// again under the same id.
func (o *operator) acknowledgeCall(ctx context.Context, id string, p *openCall) {
	if p.command == "" {
		o.commandCount++
		p.command = fmt.Sprintf("%s-%d", o.name, o.commandCount)
		o.recordCall(journal.Invoke, id, p, "")
	}

	status, err := o.requestAny(ctx, http.MethodPost, "/ops/alerts/"+id+"/ack", nil)
	switch {
	case err == nil:
		o.Stats.helpAcknowledged.Add(1)
		o.recordCall(journal.OK, id, p, "")
	case status == http.StatusNotFound:
		o.Stats.refused.Add(1)
		o.recordCall(journal.Fail, id, p, "not_found")
	default:
		return
	}

	delete(o.calls, id)
}

// recordUnfinished records the acknowledgements whose outcome is unknown.
func (o *operator) recordUnfinished() {
	for id, p := range o.calls {
		if p.command != "" {
			o.recordCall(journal.Info, id, p, "")
		}
	}

	o.Journal.AddRecord(journal.Record{What: journal.Off, Who: roleOperator + ":ops", Phone: o.name})
}

func (o *operator) recordCall(what, id string, p *openCall, code string) {
	o.Journal.AddRecord(journal.Record{What: what, Who: roleOperator + ":ops", Phone: o.name, Command: p.command,
		Kind: journal.Acknowledge, Alert: id, Trip: p.trip, Code: code})
}

// requestAny asks one URL after the other until one answers 200 or 404. It
// returns the last status, 0 when there was no answer.
func (o *operator) requestAny(ctx context.Context, method, path string, into any) (status int, err error) {
	for range o.AdminURLs {
		if status, err = o.requestFrom(ctx, o.AdminURLs[o.currentURL], method, path, into); err == nil || status == http.StatusNotFound {
			return status, err
		}
		o.currentURL = (o.currentURL + 1) % len(o.AdminURLs)
	}
	return status, err
}

func (o *operator) requestFrom(ctx context.Context, url, method, path string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(url, "/")+path, nil)
	if err != nil {
		return 0, err
	}

	res, err := o.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()

	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case res.StatusCode != http.StatusOK:
		return res.StatusCode, fmt.Errorf("%s %s: %s", method, path, res.Status)
	case err != nil || into == nil:
		return res.StatusCode, err
	}

	return res.StatusCode, json.Unmarshal(text, into)
}
