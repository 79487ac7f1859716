// Package intruder tries what a client must not be able to do: it moves, reads
// and talks on trips of other people, makes tokens of its own, and sends what
// is no frame at all. It knows the ids of true trips, which a stranger would
// have to guess. Whatever a node lets it do, or tells it of others, counts
// against the node.
package intruder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"
)

// The names under which it has tokens of its own. They ask for no trip and
// accept no offer, so that nothing at all may happen in their name.
const (
	Rider  = "intruder-rider"
	Driver = "intruder-driver"
)

// Target is a trip of other people.
type Target struct {
	Trip   string `json:"trip"`
	Rider  string `json:"rider"`
	Driver string `json:"driver,omitempty"`
}

// Config says whom to bother.
type Config struct {
	Servers []string        // of the nodes, as http://HOST:PORT
	Targets func() []Target // those of now; asked before each attempt
	Seed    uint64          // of what comes when
	Rounds  int             // of all attempts; 0: until the context ends
	Journal io.Writer       // a JSON line for each attempt; nil: none is kept
	Log     *slog.Logger    // nil: nothing is logged
}

// Text is what it says wherever something can be said.
const Text = "intruder"

const (
	attemptTimeout = 8 * time.Second
	attemptPause   = 20 * time.Millisecond // between attempts
	tokenTimeout   = 3 * time.Second
)

// intruder is one run; a single goroutine.
type intruder struct {
	cfg    Config
	client *http.Client
	rng    *rand.Rand
	tokens map[string]string // token by role
	report *Report
}

// attempt is one thing to try.
type attempt struct {
	name string
	run  func(*intruder, context.Context, *visit)
}

// visit is an attempt at a node, and what came of it.
type visit struct {
	server string
	target Target
	tally
}

// Run tries everything in an order of its own, over and over, until ctx ends or
// the rounds are done. Nodes may come and go meanwhile. An error means that the
// journal could not be written.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Servers) == 0 || cfg.Targets == nil {
		return Report{}, errors.New("an intruder needs nodes and targets")
	}

	transport := &http.Transport{DisableKeepAlives: true}
	i := &intruder{cfg: cfg, client: &http.Client{Timeout: attemptTimeout, Transport: transport},
		rng: rand.New(rand.NewPCG(cfg.Seed, 0x696e7472)), tokens: map[string]string{}, report: newReport()}
	attempts := append(append(httpAttempts(), socketAttempts()...), rawAttempts()...)
	for round := 0; (cfg.Rounds == 0 || round < cfg.Rounds) && ctx.Err() == nil; round++ {
		for _, k := range i.rng.Perm(len(attempts)) {
			if err := i.makeAttempt(ctx, attempts[k]); err != nil {
				return *i.report, err
			}
		}
	}

	return *i.report, nil
}

// makeAttempt makes one attempt at some node.
func (i *intruder) makeAttempt(ctx context.Context, a attempt) error {
	v := &visit{server: strings.TrimSuffix(i.cfg.Servers[i.rng.IntN(len(i.cfg.Servers))], "/")}
	targets := i.cfg.Targets()
	if len(targets) == 0 || !i.fetchTokens(ctx, v.server) {
		return pauseFor(ctx, 5*attemptPause)
	}
	v.target = targets[i.rng.IntN(len(targets))]
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	a.run(i, limited, v)
	cancel()
	if ctx.Err() != nil && len(v.Rows) == 0 {
		return nil // cut off by the end
	}
	i.report.addTally(a.name, v.tally)
	for _, row := range v.Rows {
		i.cfg.Log.Error("the intruder got through", "attempt", a.name, "node", v.server, "how", row)
	}

	if i.cfg.Journal != nil {
		line, err := json.Marshal(journalEntry{nowMs(), a.name, v.server, v.target, v.tally})
		if err == nil {
			_, err = i.cfg.Journal.Write(append(line, '\n'))
		}
		if err != nil {
			return fmt.Errorf("the intruder's journal: %w", err)
		}
	}

	return pauseFor(ctx, attemptPause)
}

// journalEntry is a line of the journal.
type journalEntry struct {
	AtMs    float64 `json:"at_ms"`
	Attempt string  `json:"attempt"`
	Node    string  `json:"node"`
	Target  Target  `json:"target"`
	Got     tally   `json:"got"`
}

func nowMs() float64 { return float64(time.Now().UnixMicro()) / 1e3 }

// fetchTokens gets the intruder's own two tokens; they last.
func (i *intruder) fetchTokens(ctx context.Context, server string) bool {
	for role, id := range map[string]string{"rider": Rider, "driver": Driver} {
		if i.tokens[role] != "" {
			continue
		}

		ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
		status, text, err := i.sendRequest(ctx, http.MethodPost, server+"/v1/dev/tokens", "", fmt.Sprintf(`{"role":%q,"id":%q}`, role, id))
		cancel()

		var got struct{ Token string }
		if err != nil || status != http.StatusOK || json.Unmarshal(text, &got) != nil {
			return false
		}
		i.tokens[role] = got.Token
	}
	return true
}

// pauseFor ends early with the context, which is no error.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// ReadTargets reads JSON lines from a file that others replace; what cannot be
// read holds no targets.
func ReadTargets(path string) (out []Target) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	for lines := json.NewDecoder(f); ; {
		var t Target
		if err := lines.Decode(&t); err != nil {
			return out
		}
		out = append(out, t)
	}
}
