package text

import "strings"

// The explicit formatting characters of the Unicode Bidirectional Algorithm
// (UAX 9, section 2). The marks U+200E, U+200F and U+061C are not among them:
// they act like a letter where they stand, and turn nothing.
const (
	embedLTR     = '\u202a'
	embedRTL     = '\u202b'
	endEmbedding = '\u202c'
	overrideLTR  = '\u202d'
	overrideRTL  = '\u202e'
	isolateLTR   = '\u2066'
	isolateRTL   = '\u2067'
	isolateFirst = '\u2068'
	endIsolate   = '\u2069'
)

const bidiControls = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// dropOpenBidi takes out the controls that would turn text which is not theirs:
// embeddings and isolates that their line does not end, and ends without a
// beginning. Pairs stay, as keyboards put them around a name or a number.
// Overrides go with their end: they show letters in another order than they are
// read, which no language needs.
func dropOpenBidi(s string) string {
	if !strings.ContainsAny(s, bidiControls) {
		return s
	}

	lines := strings.Split(s, "\n") // the algorithm ends everything with a paragraph
	for i, line := range lines {
		lines[i] = dropOpenBidiInLine([]rune(line))
	}
	return strings.Join(lines, "\n")
}

func dropOpenBidiInLine(line []rune) string {
	kept := make([]bool, len(line))
	var open []int // where the controls stand that have no end yet

	for i, c := range line {
		switch c {
		case embedLTR, embedRTL, overrideLTR, overrideRTL, isolateLTR, isolateRTL, isolateFirst:
			open = append(open, i)
		case endEmbedding:
			// It reaches no further than the isolate that it stands in.
			if n := len(open) - 1; n >= 0 && !isIsolate(line[open[n]]) {
				kept[open[n]] = line[open[n]] == embedLTR || line[open[n]] == embedRTL
				kept[i] = kept[open[n]]
				open = open[:n]
			}
		case endIsolate:
			// It ends the embeddings inside its isolate too.
			for n := len(open) - 1; n >= 0; n-- {
				if isIsolate(line[open[n]]) {
					kept[open[n]], kept[i] = true, true
					open = open[:n]
					break
				}
			}
		default:
			kept[i] = true
		}
	}

	out := make([]rune, 0, len(line))
	for i, c := range line {
		if kept[i] {
			out = append(out, c)
		}
	}
	return string(out)
}

func isIsolate(c rune) bool { return c == isolateLTR || c == isolateRTL || c == isolateFirst }
