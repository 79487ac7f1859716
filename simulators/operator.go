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

// OperatorConfig describes somebody who looks after calls for help.
type OperatorConfig struct {
	// the nodes' admin doors, http://HOST:PORT; one that does not answer is
	// passed over
	Doors []string
	Every time.Duration // between two looks; 0 means 1 s
	// from the first sight of a call until it is acknowledged, on average; 0
	// means 3 s
	Think   time.Duration
	Seed    uint64
	Stats   *Stats // nil: nobody looks
	Log     *slog.Logger
	Journal *journal.Journal // nil: none is kept
}

const (
	roleOperator = "operator"
	doorWithin   = 2 * time.Second // for an answer of one door
)

// RunOperator acknowledges calls for help until the context ends, which is no
// error.
func RunOperator(ctx context.Context, cfg OperatorConfig) error {
	cfg.Every, cfg.Think = cmp.Or(cfg.Every, time.Second), cmp.Or(cfg.Think, 3*time.Second)
	if len(cfg.Doors) == 0 {
		return errors.New("an operator needs a node's admin door")
	}
	if cfg.Stats == nil {
		cfg.Stats = NewStats()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}

	o := &operator{OperatorConfig: cfg, name: uuid.NewString(), rng: stream(cfg.Seed, roleOperator, "thoughts"),
		calls:  map[string]*plea{},
		client: &http.Client{Timeout: doorWithin, Transport: &http.Transport{}}}
	defer o.client.CloseIdleConnections()

	for sleep.For(ctx, cfg.Every) {
		o.look(ctx)
	}
	o.leave()
	return nil
}

// operator is one person at the operators' page.
type operator struct {
	OperatorConfig
	name   string
	rng    *rand.Rand
	client *http.Client
	door   int              // the one that answered last
	calls  map[string]*plea // by id, those seen and not acknowledged
	asked  int
}

// plea is an open call for help.
type plea struct {
	trip    string
	at      time.Time // to acknowledge it
	command string    // set once that was tried
}

// look reads the open calls and acknowledges those that were thought about long
// enough.
func (o *operator) look(ctx context.Context) {
	var page struct {
		Alerts []struct {
			ID   string `json:"id"`
			Trip string `json:"trip"`
		} `json:"alerts"`
	}
	if _, err := o.ask(ctx, http.MethodGet, "/ops/alerts", &page); err != nil {
		o.Log.Debug("no door shows the calls for help", "err", err)
		return
	}

	now, open := time.Now(), map[string]bool{}
	for _, a := range page.Alerts {
		open[a.ID] = true
		if o.calls[a.ID] == nil {
			o.calls[a.ID] = &plea{trip: a.Trip, at: now.Add(time.Duration(o.rng.ExpFloat64() * float64(o.Think)))}
		}
	}

	for id, p := range o.calls {
		if due(p.at, now) && ctx.Err() == nil {
			o.acknowledge(ctx, id, p)
		}
		if p.command == "" && !open[id] {
			delete(o.calls, id) // somebody else was quicker
		}
	}
}

// acknowledge presses the button, and again at the next look if nobody says
// what came of it.
func (o *operator) acknowledge(ctx context.Context, id string, p *plea) {
	if p.command == "" {
		o.asked++
		p.command = fmt.Sprintf("%s-%d", o.name, o.asked)
		o.tell(journal.Invoke, id, p, "")
	}

	status, err := o.ask(ctx, http.MethodPost, "/ops/alerts/"+id+"/ack", nil)
	switch {
	case err == nil:
		o.Stats.helped.Add(1)
		o.tell(journal.OK, id, p, "")
	case status == http.StatusNotFound:
		o.Stats.refused.Add(1)
		o.tell(journal.Fail, id, p, "not_found")
	default:
		return
	}

	delete(o.calls, id)
}

// leave says of what was tried last that nobody knows what came of it.
func (o *operator) leave() {
	for id, p := range o.calls {
		if p.command != "" {
			o.tell(journal.Info, id, p, "")
		}
	}

	o.Journal.AddRecord(journal.Record{What: journal.Off, Who: roleOperator + ":ops", Phone: o.name})
}

func (o *operator) tell(what, id string, p *plea, code string) {
	o.Journal.AddRecord(journal.Record{What: what, Who: roleOperator + ":ops", Phone: o.name, Command: p.command,
		Kind: journal.Acknowledge, Alert: id, Trip: p.trip, Code: code})
}

// ask asks one door after the other until one answers as wanted; a status is 0
// when none answered at all.
func (o *operator) ask(ctx context.Context, method, path string, into any) (status int, err error) {
	for range o.Doors {
		if status, err = o.knock(ctx, o.Doors[o.door], method, path, into); err == nil || status == http.StatusNotFound {
			return status, err
		}
		o.door = (o.door + 1) % len(o.Doors)
	}
	return status, err
}

func (o *operator) knock(ctx context.Context, door, method, path string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(door, "/")+path, nil)
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
