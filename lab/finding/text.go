package finding

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A finding's text fits on a terminal of this size, with a line for the prompt.
const (
	MaxLines   = 25
	MaxColumns = 100
)

// Text returns the finding for a terminal: lines of at most MaxColumns, and
// MaxLines of them, unless an experiment says more than fits (see Problems).
// Colour repeats what the words say.
func (f Finding) Text(colour bool) string {
	p := painter(colour)
	parts := [][]string{f.introduction(), f.whatRan(), f.table(), f.sparkline(), f.verdicts(p), f.notices(), f.after()}
	parts = slices.DeleteFunc(parts, func(lines []string) bool { return len(lines) == 0 })
	parts[0][0] = p.paint(bold, parts[0][0])

	total := 0
	for _, lines := range parts {
		total += len(lines)
	}

	// Empty lines go where there is room for them, from the end on: verdicts
	// and notices are read most.
	for i := len(parts) - 1; i > 0 && total < MaxLines; i-- {
		parts[i] = slices.Insert(parts[i], 0, "")
		total++
	}
	return strings.Join(slices.Concat(parts...), "\n") + "\n"
}

// introduction is the question, and the guess with whether it was so.
func (f Finding) introduction() []string {
	lines := questionLines(f.Question, f.Asks, f.Situation)
	answer := "Guess: none."
	if f.Guess != "" {
		answer = fmt.Sprintf("Guess %s: %s.", f.Guess, f.option(f.Guess))
		if f.Guess == f.Seen {
			return append(lines, wrap(answer+" So it was.", "")...)
		}
		answer += " Not so."
	}
	if f.Seen == "" {
		return append(lines, wrap(answer+" Seen: none of the options.", "")...)
	}
	return append(lines, wrap(fmt.Sprintf("%s Seen %s: %s.", answer, f.Seen, f.option(f.Seen)), "")...)
}

// option returns the option with a letter.
func (f Finding) option(letter string) string {
	i := int(letter[0] - 'A')
	if i >= len(f.Options) {
		return "no option"
	}
	return strings.TrimSuffix(f.Options[i], ".")
}

func (e Experiment) questionLines() []string {
	asks := map[string]string{}
	for _, number := range e.Asks {
		asks[number] = ""
	}
	return questionLines(e.Question, asks, e.Situation)
}

func questionLines(question string, asks map[string]string, situation string) []string {
	heading := question
	if len(asks) > 0 {
		numbers := make([]string, 0, len(asks))
		for number := range asks {
			numbers = append(numbers, number)
		}
		slices.Sort(numbers)
		heading += " (" + strings.Join(numbers, " ") + ")"
	}
	return append(wrap(heading, ""), wrap(situation, "")...)
}

// whatRan is every parameter, and what is real.
func (f Finding) whatRan() []string {
	settings := make([]string, 0, len(f.Settings)+1)
	for _, s := range f.Settings {
		settings = append(settings, s.Name+" "+s.Value)
	}
	settings = append(settings, fmt.Sprintf("seed %d", f.Seed))
	ran := fmt.Sprintf("Ran %s for %.1f s: %s.", f.Experiment, f.Seconds, strings.Join(settings, ", "))
	return append(wrap(ran, "  "), wrap("Real: "+endSentence(f.Real)+" Made: "+endSentence(f.Made), "  ")...)
}

func endSentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

// verdicts are a paragraph for each claim.
func (f Finding) verdicts(p painter) (lines []string) {
	for _, c := range f.Claims {
		verdict, colour := "holds", green
		if !c.Holds {
			verdict, colour = "does not hold", red
		}
		how := "measured"
		if c.Exact {
			how = "exact"
		}
		text := wrap(fmt.Sprintf("%s: %s: %s (%s), %s; %s; %s", verdict, c.Text, c.Got, c.Want, how, c.Law, c.Source), "  ")
		text[0] = p.paint(colour, verdict) + strings.TrimPrefix(text[0], verdict)
		lines = append(lines, text...)
	}
	return lines
}

func (f Finding) notices() (lines []string) {
	for _, notice := range f.Notice {
		lines = append(lines, wrap("- "+notice, "  ")...)
	}
	return lines
}

// after is what to do next, and what to read.
func (f Finding) after() []string {
	read := make([]string, len(f.Code))
	for i, c := range f.Code {
		read[i] = fmt.Sprintf("%s:%s (%s)", c.File, c.Func, c.Why)
	}
	lines := wrap("Next: "+endSentence(f.Next), "  ")
	if len(read) > 0 {
		lines = append(lines, wrap("Read: "+strings.Join(read, "; ")+".", "  ")...)
	}
	return lines
}

// wrap breaks a text into lines of at most MaxColumns. All but the first begin
// with the indent. A word that is longer stays whole.
func wrap(text, indent string) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > MaxColumns:
			lines, line = append(lines, line), indent+word
		default:
			line += " " + word
		}
	}
	if line == "" {
		return lines
	}
	return append(lines, line)
}

// painter paints words where the terminal shows colours.
type painter bool

const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[1;31m"
	plain = "\x1b[0m"
)

func (p painter) paint(colour, s string) string {
	if !p {
		return s
	}
	return colour + s + plain
}
