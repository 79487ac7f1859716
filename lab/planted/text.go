package planted

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ridehail/ridehail/lab/finding"
)

const (
	textWidth  = finding.MaxColumns
	leftMargin = 6  // of the first process in a diagram
	rightRoom  = 22 // for what the last process does by itself
	widest     = 28 // between two processes
)

// List is the list of all lessons.
func List() string {
	var b strings.Builder
	b.WriteString("Five planted bugs, and the promise that each one breaks:\n\n")
	for _, l := range Lessons() {
		fmt.Fprintf(&b, "  %-22s %s\n  %-22s breaks: %s\n", l.Name, l.Says, "", l.Breaks)
	}
	if HasBugs {
		b.WriteString("\nThis program has them. Break a promise:  bin/ridehail-broken lab break NAME [--mended]\n")
	} else {
		b.WriteString("\nThis program has none of them. A program that has them all:  make lab-broken\n" +
			"Break a promise:                  bin/ridehail-broken lab break NAME\n" +
			"The same story on the right code: bin/ridehail lab break NAME\n")
	}
	return b.String()
}

// Text is the result for a terminal.
func (r Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Bug, r.Says)
	r.writeVerdict(&b)
	r.writeHistory(&b)
	b.WriteString("\n" + r.Diagram())
	b.WriteString("Numbers: Lamport's clock (1978). A message is received after it was sent, so its number is larger.\n")
	fmt.Fprintf(&b, "Real: %s. Judge: lab/chaos/check.\n", r.Real)
	fmt.Fprintf(&b, "Right: %s:%s %s.\n", r.File, r.Func, r.Right)
	if r.Planted {
		fmt.Fprintf(&b, "Right code, same history:  bin/ridehail lab break %s --steps %s\n", r.Bug, r.takenSteps())
	} else {
		fmt.Fprintf(&b, "See it broken:  make lab-broken && bin/ridehail-broken lab break %s\n", r.Bug)
	}
	return b.String()
}

func (r Result) writeVerdict(b *strings.Builder) {
	if r.Holds {
		why := "this program carries no planted bug"
		if HasBugs {
			why = "the bug is off"
		}
		if r.Planted {
			why = "the planted bug does no harm in this history"
		}
		fmt.Fprintf(b, "HOLDS   %s\n        %d checks, no promise broken: %s\n", r.Promise, r.Checked, why)
		return
	}

	fmt.Fprintf(b, "BROKEN  %s\n", r.Promise)
	for _, l := range wrapText(r.Broken[0].Rows[0], textWidth-8, 2) {
		fmt.Fprintf(b, "        %s\n", l)
	}
	if more := r.Broken[1:]; len(more) > 0 {
		fmt.Fprintf(b, "also    %s", cutText(more[0].Name, textWidth-24))
		if len(more) > 1 {
			fmt.Fprintf(b, ", and %d more", len(more)-1)
		}
		b.WriteByte('\n')
	}
}

func (r Result) writeHistory(b *strings.Builder) {
	head := fmt.Sprintf("Shortest history, of %d runs; without any one of these steps the promise holds:", r.Runs)
	if r.Holds {
		head = "History:"
	}
	fmt.Fprintf(b, "\n%s\n", head)
	for _, s := range r.Story {
		if s.Taken {
			fmt.Fprintf(b, "  step %d  %s\n", s.Number, s.Text)
		}
	}
}

// takenSteps are the numbers of the history's steps, as --steps takes them.
func (r Result) takenSteps() string {
	var numbers []string
	for _, s := range r.Story {
		if s.Taken {
			numbers = append(numbers, fmt.Sprint(s.Number))
		}
	}
	return strings.Join(numbers, ",")
}

// Diagram is the history as a Lamport diagram for a terminal: a column for each
// process, time downwards, and an arrow for each message.
func (r Result) Diagram() string {
	apart := widest
	if n := len(r.Processes); n > 1 {
		apart = min(widest, (textWidth-leftMargin-rightRoom)/(n-1))
	}

	d := diagram{at: map[string]int{}}
	head := newLine()
	for i, p := range r.Processes {
		d.at[p] = leftMargin + i*apart
		head.writeAt(max(0, d.at[p]-len(p)/2), p)
	}

	var b strings.Builder
	b.WriteString(head.formatLine())
	for _, e := range r.History {
		b.WriteString(d.buildRow(e).formatLine())
	}
	return b.String()
}

// diagram knows the column of each process.
type diagram struct{ at map[string]int }

// buildRow draws one entry.
func (d diagram) buildRow(e Entry) line {
	l := newLine()
	for _, x := range d.at {
		l.writeAt(x, "│")
	}

	x, clock := d.at[e.From], fmt.Sprint(e.Clock)
	l.writeAt(x, "●")
	if e.To == "" {
		l.writeAt(x-1-len(clock), clock)
		l.writeAt(x+2, e.Text)
		return l
	}

	to := d.at[e.To]
	first, last, head, tip := x+1, to-1, to-1, "▶"
	sentAt, receivedAt := x-1-len(clock), to+2
	received := fmt.Sprint(e.Received)
	if to < x {
		first, last, head, tip = to+1, x-1, to+1, "◀"
		sentAt, receivedAt = x+2, to-1-len(received)
	}

	l.writeAt(sentAt, clock)
	l.writeAt(first, strings.Repeat("─", last-first+1))
	text := " " + cutText(e.Text, last-first-4) + " "
	l.writeAt(first+(last-first+1-utf8.RuneCountInString(text))/2, text)
	if e.Lost {
		l.writeAt(head, "✗")
		return l
	}

	l.writeAt(head, tip)
	l.writeAt(to, "●")
	l.writeAt(receivedAt, received)
	return l
}

// line is a line of a diagram, one rune per column.
type line []rune

func newLine() line { return []rune(strings.Repeat(" ", textWidth)) }

// writeAt writes text from a column on. What lies outside is left out.
func (l line) writeAt(x int, text string) {
	for _, r := range text {
		if x >= 0 && x < len(l) {
			l[x] = r
		}
		x++
	}
}

func (l line) formatLine() string { return strings.TrimRight(string(l), " ") + "\n" }

// wrapText breaks a text between words, into at most so many lines.
func wrapText(text string, columns, most int) (lines []string) {
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && (len(lines) == most || utf8.RuneCountInString(lines[last]+word) < columns) {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}

	for i, l := range lines {
		lines[i] = cutText(l, columns)
	}
	return lines
}

// cutText shortens a text to a number of columns.
func cutText(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(0, columns-1)]) + "…"
}
