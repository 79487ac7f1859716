package wire

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The table of docs/protocol.md, written once more, so that a change of either
// shows.
func TestPhonesComeBackAfterTheseCodesOnly(t *testing.T) {
	for code, want := range map[int]bool{
		CloseGoingAway:   true,
		CloseBadFrame:    false,
		CloseBadData:     false,
		ClosePolicy:      false,
		CloseTooBig:      false,
		CloseInternal:    true,
		CloseOverload:    true,
		CloseNoAuth:      false,
		CloseTokenEnded:  false,
		CloseTooManyOpen: false,
		CloseReplaced:    false,
		CloseSlow:        true,
		CloseSilent:      true,
		1005:             true, // closed without a code
		1006:             true, // lost
	} {
		if ShouldReconnect(code) != want {
			t.Errorf("%d: come back = %v, want %v", code, !want, want)
		}
	}
}

func TestTimesTravelToTheMicrosecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(1, 4_102_444_800_000_000).Draw(t, "microseconds since 1970"))
		if got := FromMillis(ToMillis(at)); !got.Equal(at) {
			t.Fatalf("%v came back as %v", at, got)
		}
	})

	if ToMillis(time.Time{}) != 0 || !FromMillis(0).IsZero() {
		t.Error("no time must travel as 0 and back")
	}
}
