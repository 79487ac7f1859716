package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAnIDIsShortPlainUTF8(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "3f0e-7": true, "é 👩\u200d👩\u200d👧": true, strings.Repeat("x", MaxID): true, "a/b": true,
		"": false, strings.Repeat("x", MaxID+1): false, "\x00": false, "a\x00b": false, "\xff": false, "a\xc3": false,
		"\xed\xa0\x80": false, "a\nb": false, "\u0085": false, "\x7f": false,
	} {
		if IsID(id) != want {
			t.Errorf("%q is an id: %v", id, !want)
		}
		if want && !IsKeepable(id) {
			t.Errorf("%q is an id that cannot be kept", id)
		}
	}
}

func TestLineBreaksOfEveryKindAreLineFeeds(t *testing.T) {
	for given, want := range map[string]string{
		"a\r\nb": "a\nb", "a\rb": "a\nb", "a\nb": "a\nb", "a\r\r\nb": "a\n\nb", "a\n\rb": "a\n\nb", "a\r\n": "a\n",
		"a\u2028b\u2029c": "a\nb\nc", "a\tb": "a\tb",
	} {
		if got, ok := Clean(given); got != want || !ok {
			t.Errorf("%q is kept as %q, %v", given, got, ok)
		}
	}
}

func TestControlCharactersAndBrokenUTF8AreNoText(t *testing.T) {
	for _, given := range []string{"a\x00b", "\x00", "a\x1bb", "a\x7fb", "a\u0085b", "a\x0bb", "a\xff", "\xed\xa0\x80", "a\xc3"} {
		if got, ok := Clean(given); ok {
			t.Errorf("%q is kept as %q", given, got)
		}
	}
}

func TestTextThatShowsNothingIsEmpty(t *testing.T) {
	for _, c := range []string{"", " ", "\n\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2060", "\ufeff", "\u00ad", "\u200c", "\u200d",
		"\u200e", "\u200f", "\u061c", "\u3164", "\uffa0", "\u115f", "\u1160", "\u2800", "\ufe0e", "\ufe0f", "\U000e0101", "\u180e", "\u180b",
		"\u034f", "\u2062", "\U000e0041\U000e007f", "\u17b4", "\U0001d159", "\U0001d173", "\u202e", "\u2067\u2069", "\u202a \u202c",
		"\u2028", "\U000e0fff"} {
		for _, given := range []string{c, " " + c + "\u200b\n" + c} {
			if got, ok := Clean(given); got != "" || !ok {
				t.Errorf("%+q is kept as %+q, %v", given, got, ok)
			}
		}
	}
}

// honest are texts as people write them; they come out as they went in.
var honest = []string{
	"hi", "👩\u200d👩\u200d👧", "👨🏽\u200d✈️", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "❤️", "👍🏿", "🇳🇬", "1️⃣",
	"می\u200cخواهم", "שלום, אני ליד השער", "שָׁלוֹם", "مرحبا، أنا عند البوابة رقم 5", "\u200fمرحبا (5)\u200e ok", "\u061c5 - 3",
	"e\u0301", "\u0301", "क्\u200dष", "क्\u200cष", "ﷺ", "\u0600 ١٢", "\u06dd", "한글", "ไทย", "日本語", "a\u200bb", "co\u00adop", "\ufeffhello", "…", ".",
	"قال \u2068Ada\u2069 نعم", "call \u2066+234 1\u2069 now", "\u202bمرحبا\u202c!", "\u2067a \u202ab\u202c c\u2069", "⠓⠊",
	"\u2068\u2068a\u2069\u2069", "line 1\n\u2067שלום\u2069", "<script>", "☃\ufe0e", "\U0001f9d1\u200d\U0001f4bb", "\ue000",
}

func TestWhatPeopleWriteStaysAsItIs(t *testing.T) {
	for _, given := range honest {
		if got, ok := Clean(given); got != given || !ok {
			t.Errorf("%+q is kept as %+q, %v", given, got, ok)
		}
	}
}

func TestNothingTurnsWhatFollows(t *testing.T) {
	for given, want := range map[string]string{
		"RLO \u202e gnp.exe":                      "RLO  gnp.exe",
		"\u202egnp.exe\u202c!":                    "gnp.exe!",
		"\u202dabc":                               "abc",
		"\u202babc":                               "abc",
		"\u2067abc":                               "abc",
		"abc\u2069\u202c":                         "abc",
		"\u2067abc\u202c":                         "abc",
		"\u2067\u202ba\u2069b":                    "\u2067a\u2069b",
		"\u202ba\u2069b\u202c":                    "\u202bab\u202c",
		"\u202b\u202ea\u202cb\u202cc":             "\u202bab\u202cc",
		"\u202b\u2067a\u202cb\u2069c\u202c":       "\u202b\u2067ab\u2069c\u202c",
		"\u2067a\nb\u2069":                        "a\nb",
		"\u2067a\r\nb\u2069":                      "a\nb",
		"\u2068\u2066a\u2069":                     "\u2066a\u2069",
		strings.Repeat("\u202e", 900) + "a":       "a",
		strings.Repeat("\u2067", 300) + "a\u2069": "\u2067a\u2069",
	} {
		if got, ok := Clean(given); got != want || !ok {
			t.Errorf("%+q is kept as %+q, want %+q", given, got, want)
		}
	}
}

// A command sent again must come to the same text, and a reader may clean what
// was kept before there was a rule.
func TestCleanTextIsCleanedToItselfAndNeverGrows(t *testing.T) {
	parts := append([]string{"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\r", "\n", "\u2028",
		"\u200b", "\u3164", "\x00", "\xff"}, honest...)
	rapid.Check(t, func(t *rapid.T) {
		given := strings.Join(rapid.SliceOf(rapid.SampledFrom(parts)).Draw(t, "parts"), "")
		once, ok := Clean(given)
		if !ok {
			return
		}
		if again, ok := Clean(once); again != once || !ok {
			t.Fatalf("%+q, then %+q", once, again)
		}
		if utf8.RuneCountInString(once) > utf8.RuneCountInString(given) || !IsKeepable(once) {
			t.Fatalf("%+q became %+q", given, once)
		}
	})
}
