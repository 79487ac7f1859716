package finding

import (
	"cmp"
	"fmt"
	"maps"
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
	var lines []string
	for w := (textWriter{Finding: f, painter: painter(colour)}); w.tightness <= tightest; w.tightness++ {
		if lines = w.writeLines(); len(lines) <= MaxLines {
			break
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// textWriter writes a finding for a terminal.
type textWriter struct {
	Finding
	painter
	tightness int
}

// How tightly a text is written.
const (
	roomy       = iota // all places in the code, each with what is there
	withoutWhys        // only the main place says what is there
	mainPlace          // only the main place is named
	joined             // and paragraphs are joined
	tightest    = joined
)

func (w textWriter) writeLines() []string {
	parts := [][]string{w.introduceRun(), w.whatRan(), w.Table.alignRows(), w.sparkline(), w.verdictLines(), w.noticeLines(), w.nextLines()}
	parts = slices.DeleteFunc(parts, func(lines []string) bool { return len(lines) == 0 })
	parts[0][0] = w.paint(bold, parts[0][0])

	// Empty lines go where there is room for them, from the end on: verdicts
	// and notices are read most.
	total := len(slices.Concat(parts...))
	for i := len(parts) - 1; i > 0 && total < MaxLines; i-- {
		parts[i] = slices.Insert(parts[i], 0, "")
		total++
	}
	return slices.Concat(parts...)
}

// wrapAll wraps paragraphs, each on its own lines where there is room.
func (w textWriter) wrapAll(paragraphs ...string) (lines []string) {
	if w.tightness >= joined {
		return wrapText(strings.Join(paragraphs, " "), "  ")
	}
	for _, p := range paragraphs {
		lines = append(lines, wrapText(p, "  ")...)
	}
	return lines
}

// introduceRun is the question, and the guess with whether it was so.
func (w textWriter) introduceRun() []string {
	heading := w.Question
	if numbers := w.askNumbers(); len(numbers) > 0 {
		heading += " (" + strings.Join(numbers, " ") + ")"
	}
	return append(wrapText(heading, ""), w.wrapAll(w.Situation, w.answerGuess())...)
}

// answerGuess is the guess, and what was seen.
func (f Finding) answerGuess() string {
	seen := "Seen: none of the options."
	if f.Seen != "" {
		seen = fmt.Sprintf("Seen %s: %s.", f.Seen, f.optionText(f.Seen))
	}
	switch f.Guess {
	case "":
		return "Guess: none. " + seen
	case f.Seen:
		return fmt.Sprintf("Guess %s: %s. So it was.", f.Guess, f.optionText(f.Guess))
	}
	return fmt.Sprintf("Guess %s: %s. Not so. %s", f.Guess, f.optionText(f.Guess), seen)
}

// askNumbers returns the numbers of the course's questions: R, P, then C.
func (f Finding) askNumbers() []string {
	return slices.SortedFunc(maps.Keys(f.Asks), func(a, b string) int {
		const order = "RPC"
		return cmp.Or(cmp.Compare(strings.Index(order, a[:1]), strings.Index(order, b[:1])), cmp.Compare(a, b))
	})
}

// optionText returns the option with a letter.
func (f Finding) optionText(letter string) string {
	i := int(letter[0] - 'A')
	if i >= len(f.Options) {
		return "no option"
	}
	return strings.TrimSuffix(f.Options[i], ".")
}

// whatRan is every parameter, and what is real.
func (w textWriter) whatRan() []string {
	settings := make([]string, 0, len(w.Settings)+1)
	for _, s := range w.Settings {
		settings = append(settings, s.Name+" "+s.Value)
	}
	settings = append(settings, fmt.Sprintf("seed %d", w.Seed))
	return w.wrapAll(fmt.Sprintf("Ran %s for %.1f s: %s.", w.Experiment, w.Seconds, strings.Join(settings, ", ")),
		"Real: "+endSentence(w.Real)+" Made: "+endSentence(w.Made))
}

func endSentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

// verdictLines are a paragraph for each claim.
func (w textWriter) verdictLines() (lines []string) {
	for _, c := range w.Claims {
		verdict, colour := "holds", green
		if !c.Holds {
			verdict, colour = "does not hold", red
		}
		how := "measured"
		if c.Exact {
			how = "exact"
		}
		text := wrapText(fmt.Sprintf("%s: %s: %s (%s), %s; %s; %s", verdict, c.Text, c.Got, c.Want, how, c.Law, c.Source), "  ")
		text[0] = w.paint(colour, verdict) + strings.TrimPrefix(text[0], verdict)
		lines = append(lines, text...)
	}
	return lines
}

func (f Finding) noticeLines() (lines []string) {
	for _, notice := range f.Notice {
		lines = append(lines, wrapText("- "+notice, "  ")...)
	}
	return lines
}

// nextLines is what to do next, and what to read.
func (w textWriter) nextLines() []string {
	var places []string
	for i, c := range w.Code {
		place := c.File + ":" + c.Func
		if i == 0 || w.tightness < withoutWhys {
			place += " (" + c.Why + ")"
		}
		places = append(places, place)
	}
	if len(places) == 0 {
		return wrapText("Next: "+endSentence(w.Next), "  ")
	}
	if more := len(places) - 1; more > 0 && w.tightness >= mainPlace {
		places = append(places[:1], fmt.Sprintf("%d more: --json", more))
	}
	return w.wrapAll("Next: "+endSentence(w.Next), "Read: "+strings.Join(places, "; ")+".")
}

// wrapText breaks a text into lines of at most MaxColumns. All but the first
// begin with the indent. A word that is longer stays whole.
func wrapText(text, indent string) (lines []string) {
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
