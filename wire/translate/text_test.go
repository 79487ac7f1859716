package translate

import (
	"strings"
	"testing"
)

func TestAReasonIsKeptAsOthersMayReadIt(t *testing.T) {
	for written, want := range map[string]string{
		"": "", "changed my mind": "changed my mind", "late\r\nagain": "late\nagain", "\u200b \ufeff": "", "\u202egnp.exe": "gnp.exe",
		strings.Repeat("x", MaxReason): strings.Repeat("x", MaxReason), strings.Repeat("\r\n", MaxReason-1) + "x": strings.Repeat("\n", MaxReason-1) + "x",
	} {
		if got, err := CleanReason(written); got != want || err != nil {
			t.Errorf("%q is kept as %q, %v", written, got, err)
		}
	}

	for _, written := range []string{"a\x00b", "\xff", "\x1b[2J", strings.Repeat("x", MaxReason+1), strings.Repeat("ẹ", 67)} {
		if got, err := CleanReason(written); err != errReason {
			t.Errorf("%q is kept as %q, %v", written, got, err)
		}
	}
}
