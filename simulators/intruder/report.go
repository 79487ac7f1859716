package intruder

import "fmt"

// tally counts the results of requests and frames.
type tally struct {
	Tried      int      `json:"tried"`
	Refused    int      `json:"refused"`
	Unanswered int      `json:"unanswered"`         // Not a success either.
	Accepted   int      `json:"accepted,omitempty"` // Must be 0.
	Foreign    int      `json:"foreign_bytes,omitempty"`
	Rows       []string `json:"rows,omitempty"` // What got through.
}

// Report is the result of a run.
type Report struct {
	tally
	Attempts map[string]int `json:"attempts"` // How often each was made.
}

// maxNamedRows bounds the rows of a report. Everything is counted.
const maxNamedRows = 20

func newReport() *Report { return &Report{Attempts: map[string]int{}} }

func (r *Report) addTally(attempt string, t tally) {
	r.Attempts[attempt]++
	r.Tried += t.Tried
	r.Refused += t.Refused
	r.Unanswered += t.Unanswered
	r.Accepted += t.Accepted
	r.Foreign += t.Foreign

	for _, row := range t.Rows {
		if len(r.Rows) < maxNamedRows {
			r.Rows = append(r.Rows, attempt+": "+row)
		}
	}
}

func (t *tally) countTried() { t.Tried++ }

func (t *tally) recordAccepted(format string, args ...any) {
	t.Accepted++
	t.Rows = append(t.Rows, "accepted: "+fmt.Sprintf(format, args...))
}

func (t *tally) recordForeign(bytes int, format string, args ...any) {
	t.Foreign += bytes
	t.Rows = append(t.Rows, "told of others: "+fmt.Sprintf(format, args...))
}
