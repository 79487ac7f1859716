package lab

import (
	"context"
	"log/slog"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// Outcome is what became of one experiment at its defaults.
type Outcome struct {
	finding.Finding
	// Problems are what keeps the experiment from being shown, such as an error.
	// With an error there is no finding but its name, question and seconds.
	Problems []string `json:"problems,omitempty"`
}

// RunEach performs experiments at their defaults with a seed, one after another.
// OnBegin and OnEnd tell of each. It returns ctx's error when ctx ends first.
func RunEach(ctx context.Context, experiments []finding.Experiment, seed uint64, log *slog.Logger, onBegin func(finding.Experiment),
	onEnd func(Outcome)) (out []Outcome, err error) {
	for _, e := range experiments {
		onBegin(e)
		o := runOne(ctx, e, seed, log)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		out = append(out, o)
		onEnd(o)
	}
	return out, nil
}

func runOne(ctx context.Context, e finding.Experiment, seed uint64, log *slog.Logger) Outcome {
	values, err := e.Check(nil)
	if err != nil {
		return Outcome{Problems: []string{err.Error()}}
	}

	began := time.Now()
	found, err := e.Perform(ctx, &finding.Run{Values: values, Seed: seed, Log: log}, finding.NoGuess)
	if err != nil {
		failed := finding.Finding{Experiment: e.Name, Question: e.Question, Seconds: time.Since(began).Seconds()}
		return Outcome{Finding: failed, Problems: []string{err.Error()}}
	}
	return Outcome{Finding: found, Problems: found.Problems()}
}
