package audit

import (
	"fmt"
	"strings"
	"time"
)

// MaxRows bounds the rows that an invariant names; all are counted.
const MaxRows = 20

// Invariant is one promise and how well it was kept.
type Invariant struct {
	Name    string `json:"name"`
	Checked int    `json:"checked"`
	// Pending counts what is missing and still within the grace.
	Pending    int      `json:"pending,omitempty"`
	Violations int      `json:"violations"`
	Rows       []string `json:"rows,omitempty"` // the first MaxRows violations
}

func (i *Invariant) addViolation(format string, args ...any) {
	i.Violations++
	if len(i.Rows) < MaxRows {
		i.Rows = append(i.Rows, fmt.Sprintf(format, args...))
	}
}

// countCheck counts one more checked row, and a violation unless ok.
func (i *Invariant) countCheck(ok bool, format string, args ...any) {
	i.Checked++
	if !ok {
		i.addViolation(format, args...)
	}
}

// Report is what an audit found.
type Report struct {
	At         time.Time `json:"at"`
	Grace      string    `json:"grace"`
	Trips      int       `json:"trips"`
	Events     int       `json:"events"`
	EndedEarly int       `json:"ended_early"` // rides, for operators to look at

	// Unplaced counts steps of earlier builds, which did not keep where the car
	// was.
	Unplaced int `json:"unplaced,omitempty"`

	Invariants []Invariant `json:"invariants"`
}

// Violations is the sum over all invariants.
func (r Report) Violations() int {
	n := 0
	for _, i := range r.Invariants {
		n += i.Violations
	}
	return n
}

// Text is the report for a terminal, one line per invariant and one per row
// named.
func (r Report) Text() string {
	var b strings.Builder
	for _, i := range r.Invariants {
		mark := "ok  "
		if i.Violations > 0 {
			mark = "FAIL"
		}

		fmt.Fprintf(&b, "%s  %-58s %9d checked", mark, i.Name, i.Checked)
		if i.Pending > 0 {
			fmt.Fprintf(&b, "  %d pending", i.Pending)
		}
		if i.Violations > 0 {
			fmt.Fprintf(&b, "  %d violations", i.Violations)
		}

		b.WriteByte('\n')
		for _, row := range i.Rows {
			fmt.Fprintf(&b, "      %s\n", row)
		}
		if more := i.Violations - len(i.Rows); more > 0 {
			fmt.Fprintf(&b, "      and %d more\n", more)
		}
	}

	fmt.Fprintf(&b, "%d violations in %d trips and %d events\n", r.Violations(), r.Trips, r.Events)
	if r.EndedEarly > 0 {
		fmt.Fprintf(&b, "%d rides were completed before their destination; ridehail refund gives a fare back\n", r.EndedEarly)
	}
	return b.String()
}
