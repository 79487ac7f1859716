package chaos

import (
	"fmt"
	"strings"
	"time"
)

// Report is the result of a run.
type Report struct {
	Seed     uint64   `json:"seed"`
	Nodes    int      `json:"nodes"`
	Redis    string   `json:"redis"` // see Engines
	Database string   `json:"database"`
	LastedS  float64  `json:"lasted_s"` // of the faults, without start and check
	Windows  []Window `json:"faults"`
	// LeftOut has a row with the reason for each kind that cannot be made here
	// or with these engines.
	LeftOut []string `json:"left_out,omitempty"`
	Calm    Share    `json:"outside_of_faults"` // command probes
	// QuiesceS is from the last heal until all work had ended.
	QuiesceS float64  `json:"quiesce_s"`
	Load     Load     `json:"load"`
	Sessions Sessions `json:"sessions"`
	// Isolated means that the city recovered from each fault before the next.
	Isolated   bool       `json:"alone"`
	Recoveries []Recovery `json:"recoveries"`
	Takeover   Takeover   `json:"takeover"`
	// PostgresBack is from the moment at which a killed Postgres answered again
	// until every node had carried out a command, of those kills during which
	// nothing else was broken.
	PostgresBack  Quantiles   `json:"postgres_back_ms"`
	PostgresKills int         `json:"postgres_kills_alone"`
	Operations    Operations  `json:"operations"`
	Resources     []Resources `json:"resources"`
	Targets       []Target    `json:"targets"`
	Invariants    []Invariant `json:"invariants"`
	Violations    int         `json:"violations"`
	// Kept is the folder with all logs of a run with violations.
	Kept string `json:"kept,omitempty"`
}

// Window is a fault with the results of the probes meanwhile, which also show
// the faults that overlap it. Times are from the beginning of the run.
type Window struct {
	Fault   string  `json:"fault"`
	BeganS  float64 `json:"began_s"`
	HealedS float64 `json:"healed_s"`
	Health  Share   `json:"health"`
	Command Share   `json:"command"`
	// FirstOKMs is from the heal until the affected node carried out a command
	// that was sent after it, or until the last node did if the fault affected
	// all. It is below 0 if the probes ended first. A fault that began
	// meanwhile makes it longer.
	FirstOKMs float64 `json:"first_ok_ms"`
}

// Share counts the probes that succeeded within a second.
type Share struct {
	OK    int `json:"ok"`
	Asked int `json:"asked"`
}

func (s *Share) addProbe(ok bool) {
	s.Asked++
	if ok {
		s.OK++
	}
}

func (s Share) String() string {
	if s.Asked == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%% of %d", 100*float64(s.OK)/float64(s.Asked), s.Asked)
}

// Load is what the simulators did during the run. Ambiguous commands are those
// whose outcome the phone was never told.
type Load struct {
	Kills      int   `json:"kills"`
	Fixes      int64 `json:"fixes"`
	Trips      int64 `json:"trips_requested"`
	Completed  int64 `json:"trips_completed"`
	Chat       int64 `json:"chat_sent"`
	Cheats     int64 `json:"steps_from_afar"` // tried on purpose
	TooFar     int64 `json:"steps_too_far"`   // refused to honest drivers
	Reconnects int64 `json:"reconnects"`
	Resumed    int64 `json:"resumed"`
	Commands   int   `json:"commands"`
	Ambiguous  int   `json:"commands_without_answer"`
}

// Invariant is one promise and how well it was kept. Rows describe the first
// violations.
type Invariant struct {
	Name       string   `json:"name"`
	Checked    int      `json:"checked"`
	Violations int      `json:"violations"`
	Rows       []string `json:"rows,omitempty"`
}

// maxRows bounds the violations that are described; all are counted.
const maxRows = 20

// check counts a checked thing, and a violation unless it is ok.
func (i *Invariant) check(ok bool, format string, args ...any) {
	i.Checked++
	if ok {
		return
	}

	i.Violations++
	if len(i.Rows) < maxRows {
		i.Rows = append(i.Rows, fmt.Sprintf(format, args...))
	}
}

// buildWindows joins faults with the results of the probes.
func buildWindows(begin time.Time, strikes []Strike, answers []probeResult, nodes int) (out []Window, calm Share) {
	for _, s := range strikes {
		w := Window{Fault: s.String(), BeganS: s.Begun.Sub(begin).Seconds(), HealedS: s.Healed.Sub(begin).Seconds()}
		first := make([]time.Duration, nodes)
		for _, a := range answers {
			if a.at.Before(s.Healed) && !a.at.Add(a.took).Before(s.Begun) {
				if a.kind == healthProbe {
					w.Health.addProbe(a.ok)
				} else {
					w.Command.addProbe(a.ok)
				}
			}

			since := a.at.Add(a.took).Sub(s.Healed)
			if a.kind == commandProbe && a.ok && !a.at.Before(s.Healed) && (first[a.node] == 0 || since < first[a.node]) {
				first[a.node] = since
			}
		}

		for i, d := range first {
			if s.Node > 0 && s.Node != i+1 {
				continue
			}
			if d == 0 {
				w.FirstOKMs = -1
				break
			}
			w.FirstOKMs = max(w.FirstOKMs, float64(d.Microseconds())/1e3)
		}

		out = append(out, w)
	}

	for _, a := range answers {
		if a.kind == commandProbe && isCalm(a, strikes) {
			calm.addProbe(a.ok)
		}
	}
	return out, calm
}

// isCalm reports whether nothing was broken during a probe, nor shortly before.
func isCalm(a probeResult, strikes []Strike) bool {
	const recovery = 2 * time.Second
	for _, s := range strikes {
		if a.at.Before(s.Healed.Add(recovery)) && !a.at.Add(a.took).Before(s.Begun) {
			return false
		}
	}
	return true
}

// Text formats the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d nodes on Redis (%s) and Postgres (%s), %.0f s of faults, quiet after %.1f s\n\n",
		r.Seed, r.Nodes, r.Redis, r.Database, r.LastedS, r.QuiesceS)
	fmt.Fprintf(&b, "%-46s %7s %7s  %-12s %-12s %s\n", "fault", "from", "until", "health", "commands", "first after")

	for _, w := range r.Windows {
		first := "never"
		if w.FirstOKMs >= 0 {
			first = fmt.Sprintf("%.0f ms", w.FirstOKMs)
		}
		fmt.Fprintf(&b, "%-46s %5.1f s %5.1f s  %-12s %-12s %s\n", w.Fault, w.BeganS, w.HealedS, w.Health, w.Command, first)
	}

	for _, left := range r.LeftOut {
		fmt.Fprintf(&b, "left out: %s\n", left)
	}
	fmt.Fprintf(&b, "outside of all faults, commands: %s\n\n", r.Calm)
	l := r.Load
	fmt.Fprintf(&b, "%d kills, %d reconnects (%d resumed), %d fixes, %d commands (%d never answered), %d trips requested, "+
		"%d completed, %d messages, %d steps tried from afar, %d honest ones refused as such\n",
		l.Kills, l.Reconnects, l.Resumed, l.Fixes, l.Commands, l.Ambiguous, l.Trips, l.Completed, l.Chat, l.Cheats, l.TooFar)
	fmt.Fprintf(&b, "%d sessions came back: %v; resumed within %v of asking\n\n", r.Sessions.Count, r.Sessions.Back, r.Sessions.Resume)
	r.writeFigures(&b)

	for _, i := range r.Invariants {
		mark := "ok  "
		if i.Violations > 0 {
			mark = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %-70s %8d checked, %d violations\n", mark, i.Name, i.Checked, i.Violations)
		for _, row := range i.Rows {
			fmt.Fprintf(&b, "      %s\n", row)
		}
	}

	fmt.Fprintf(&b, "%d violations\n", r.Violations)
	if r.Kept != "" {
		fmt.Fprintf(&b, "the logs of all processes are in %s\n", r.Kept)
	}
	return b.String()
}
