// Package text tells which text from outside may be kept and shown: ids, and
// what people write to each other. Its functions are pure.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxID is how many bytes the id of a command, a trip, a token or an alert may
// have.
const MaxID = 64

// IsKeepable returns true if every database keeps the text as it is: UTF-8
// without NUL. Postgres refuses any other text, SQLite does not.
func IsKeepable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// IsID returns true if s can be an id: 1 to MaxID bytes of UTF-8 without control
// characters. An id that cannot be is known to no store, so that a caller may
// answer "not found" without asking one.
func IsID(s string) bool {
	return s != "" && len(s) <= MaxID && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Clean returns what a person wrote as it is kept and shown to others; false if
// it is not UTF-8 or has control characters other than line breaks and tabs.
//
// Every line break becomes a line feed. Marks of direction that would turn what
// follows are taken out (see dropOpenBidi), and text that shows nothing becomes
// empty. Clean adds nothing and cleans a clean text to itself.
func Clean(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}

	s = lineBreaks.Replace(s)
	if strings.ContainsFunc(s, isForbiddenControl) {
		return "", false
	}

	s = dropOpenBidi(s)
	if !strings.ContainsFunc(s, isVisible) {
		return "", true
	}
	return s, true
}

var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n")

func isForbiddenControl(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }

// notShown are letters and symbols without a picture. Unicode has no property
// for the last two.
var notShown = []*unicode.RangeTable{
	unicode.White_Space, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Cf,
	{R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}},   // a Braille pattern without dots
	{R32: []unicode.Range32{{Lo: 0x1d159, Hi: 0x1d159, Stride: 1}}}, // a musical note without a head
}

// isVisible returns true for a character that by itself leaves a mark on a
// screen. Signs of Arabic and other scripts that span the digits after them are
// in category Cf and do.
func isVisible(c rune) bool {
	return !unicode.IsControl(c) && !unicode.In(c, notShown...) || unicode.Is(unicode.Prepended_Concatenation_Mark, c)
}
