package chaos

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/simulators/journal"
)

// Quantiles are those that the report prints, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (q Quantiles) String() string {
	return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms, max %.0f ms", q.P50, q.P99, q.Max)
}

// computeQuantiles sorts values in place.
func computeQuantiles(values []float64) Quantiles {
	s := quantile.Sort(values)
	return Quantiles{P50: s.At(.5), P99: s.At(.99), Max: s.Max()}
}

// Sessions is how long phones took to get their connections back, including
// faults and the pauses between tries. Resume is from a hello that was answered
// to its welcome, Back from the loss of a connection to the next welcome. Whole
// is Resume of those between whose hello and welcome no fault lasted.
type Sessions struct {
	Count      int       `json:"count"`
	Resume     Quantiles `json:"resume_ms"`
	Back       Quantiles `json:"back_ms"`
	Whole      Quantiles `json:"resume_while_whole_ms"`
	WholeCount int       `json:"resumed_while_whole"`
}

// Recovery is how phones and commands recovered from one kind of fault.
type Recovery struct {
	// Kind is "" for connections that were lost while nothing was broken:
	// phones are flaky.
	Kind   Kind      `json:"kind"`
	Faults int       `json:"faults"`
	Count  int       `json:"sessions"`
	Back   Quantiles `json:"back_ms"`
	Resume Quantiles `json:"resume_ms"`
	// FirstOK is over the faults; see Window.
	FirstOK Quantiles `json:"first_ok_ms"`
	// Meanwhile are the command probes while the faults lasted.
	Meanwhile Share `json:"commands"`
	// Never counts the faults after which no command was carried out before the
	// probes ended.
	Never int `json:"never_ok"`
	// Load is the rate of Postgres transactions from the beginning of these
	// faults to two seconds after their heal, as a multiple of the rate while
	// nothing was broken; 0 if one of the two is unknown.
	Load float64 `json:"postgres_load"`
	// Calls is how many requests the provider had for each charge in that
	// time; 0 if there was no charge.
	Calls float64 `json:"provider_calls_per_charge"`
}

// outage is one phone's time without a connection.
type outage struct {
	from                 int // the node that was lost, from 1; 0 if unknown
	lost, hello, welcome time.Time
}

func (s outage) backMs() float64   { return toMillis(s.welcome.Sub(s.lost)) }
func (s outage) resumeMs() float64 { return toMillis(s.welcome.Sub(s.hello)) }

func toMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// readOutages reads the journals. Phones and nemesis use the same clock, this
// machine's: faults set the clocks of nodes only.
func readOutages(journals, doors []string) (out []outage, err error) {
	type state struct {
		outage
		gone bool
		door int // of the last hello
	}

	for _, path := range journals {
		phones := map[string]*state{}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}

		err = journal.Read(f, func(r journal.Record) error {
			p, at := phones[r.Phone], time.UnixMicro(int64(math.Round(r.AtMs*1e3)))
			if p == nil {
				p = new(state)
				phones[r.Phone] = p
			}

			switch r.What {
			case journal.Lost:
				p.gone, p.lost = true, at
			case journal.Hello:
				p.door, p.hello = 1+slices.Index(doors, r.Server), at
			case journal.Welcome:
				if p.gone {
					p.welcome = at
					out = append(out, p.outage)
				}
				p.gone, p.from = false, p.door
			}

			return nil
		})
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return out, nil
}

// blameTime is how long after its heal a fault may still cause a loss: a killed
// process takes a while to start.
const blameTime = time.Second

// isCausedBy reports whether a fault may have caused the loss.
func (s outage) isCausedBy(by Strike) bool {
	if by.Node > 0 && s.from > 0 && by.Node != s.from {
		return false
	}
	return !s.lost.Before(by.Begun) && s.lost.Before(by.Healed.Add(blameTime))
}

// resumedCalmly reports whether no fault lasted between hello and welcome, nor
// shortly before. A fault that is over at once, such as a storm, affects only
// what comes before the hello.
func (s outage) resumedCalmly(strikes []Strike) bool {
	return !slices.ContainsFunc(strikes, func(k Strike) bool {
		return k.Lasts > 0 && s.hello.Before(k.Healed.Add(blameTime)) && !s.welcome.Before(k.Begun)
	})
}

func summarizeSessions(all []outage, strikes []Strike) (out Sessions) {
	var back, resume, whole []float64
	for _, s := range all {
		back, resume = append(back, s.backMs()), append(resume, s.resumeMs())
		if s.resumedCalmly(strikes) {
			whole = append(whole, s.resumeMs())
		}
	}
	return Sessions{Count: len(all), Back: computeQuantiles(back), Resume: computeQuantiles(resume), Whole: computeQuantiles(whole),
		WholeCount: len(whole)}
}

// summarizeRecoveries groups by kind of fault. A connection that was lost
// during two faults counts for both.
func summarizeRecoveries(all []outage, strikes []Strike, shown []Window) (out []Recovery) {
	for _, k := range append([]Kind{""}, allKinds...) {
		r := Recovery{Kind: k}
		var back, resume, first []float64
		for i, s := range strikes {
			if s.Kind != k {
				continue
			}

			r.Meanwhile.OK += shown[i].Command.OK
			r.Meanwhile.Asked += shown[i].Command.Asked

			if r.Faults++; shown[i].FirstOKMs < 0 {
				r.Never++
			} else {
				first = append(first, shown[i].FirstOKMs)
			}
		}

		for _, s := range all {
			mine := !slices.ContainsFunc(strikes, s.isCausedBy)
			if k != "" {
				mine = slices.ContainsFunc(strikes, func(by Strike) bool { return by.Kind == k && s.isCausedBy(by) })
			}
			if mine {
				back, resume = append(back, s.backMs()), append(resume, s.resumeMs())
			}
		}

		r.Count, r.Back, r.Resume, r.FirstOK = len(back), computeQuantiles(back), computeQuantiles(resume), computeQuantiles(first)
		if r.Faults > 0 || r.Count > 0 {
			out = append(out, r)
		}
	}
	return out
}
