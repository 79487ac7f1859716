// Package intruder attempts what a client must not be able to do. It moves,
// reads and writes on trips of other people, forges tokens, and sends malformed
// frames. It knows the ids of real trips, which a stranger would have to guess.
// Everything that a node lets it do, or reveals of others, counts against the
// node. It uses raw connections, not the client package, which sends only valid
// frames.
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

	"github.com/ridehail/ridehail/internal/sleep"
)

// The user ids of the intruder's own tokens. They request no trip and accept no
// offer, so that nothing may happen in their name.
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

// Config is which nodes and trips to attack.
type Config struct {
	Servers []string        // Of the nodes, as http://HOST:PORT.
	Targets func() []Target // Current targets, asked before each attempt.
	Seed    uint64          // Of the order of attempts.
	Rounds  int             // Of all attempts; 0: until the context ends.
	Journal io.Writer       // A JSON line for each attempt; nil: none.
	Log     *slog.Logger    // nil: nothing is logged.
}

// Text is what the intruder writes into every text field.
const Text = "intruder"

const (
	attemptTimeout = 8 * time.Second
	attemptPause   = 20 * time.Millisecond // Between attempts.
	tokenTimeout   = 3 * time.Second
)

// intruder is one run. It belongs to a single goroutine.
type intruder struct {
	cfg    Config
	client *http.Client
	rng    *rand.Rand
	tokens map[string]string // By role.
	report *Report
}

// attempt is one thing to try.
type attempt struct {
	name string
	run  func(*intruder, context.Context, *visit)
}

// visit is an attempt at a node and its result.
type visit struct {
	server string
	target Target
	tally
}

// Run makes all attempts in random order, over and over, until ctx ends or the
// rounds are done. Nodes may come and go meanwhile. It returns an error if cfg
// has no nodes or targets, or if the journal cannot be written.
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

// makeAttempt makes one attempt at a random node.
func (i *intruder) makeAttempt(ctx context.Context, a attempt) error {
	v := &visit{server: strings.TrimSuffix(i.cfg.Servers[i.rng.IntN(len(i.cfg.Servers))], "/")}
	targets := i.cfg.Targets()
	if len(targets) == 0 || !i.fetchTokens(ctx, v.server) {
		sleep.For(ctx, 5*attemptPause) // the end of ctx is no error
		return nil
	}
	v.target = targets[i.rng.IntN(len(targets))]
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	a.run(i, limited, v)
	cancel()
	if ctx.Err() != nil && len(v.Rows) == 0 {
		return nil // The end of the run cut it off.
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

	sleep.For(ctx, attemptPause)
	return nil
}

// journalEntry is a line of the journal.
type journalEntry struct {
	AtMs    float64 `json:"at_ms"`
	Attempt string  `json:"attempt"`
	Node    string  `json:"node"`
	Target  Target  `json:"target"`
	Got     tally   `json:"got"`
}

// nowMs returns Unix milliseconds.
func nowMs() float64 { return float64(time.Now().UnixMicro()) / 1e3 }

// fetchTokens gets the intruder's own two tokens, unless it has them.
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

// ReadTargets reads JSON lines from a file that other processes replace. It
// returns the targets up to the first unreadable line.
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
