package translate

import (
	"strings"
	"unicode"

	"github.com/ridehail/ridehail/wire"
)

const (
	// MaxID is how many bytes the id of a command, a trip or an alert may have.
	MaxID = 64
	// MaxReason is how many bytes the reason of a cancellation may have.
	MaxReason = 200
)

var errReason = Refuse(wire.CodeBadField, "The reason is at most 200 bytes without control characters.")

// IsPlainID returns true if text can be an id of ours or of a command. A
// database may refuse other text with an error that looks like a failure of its
// own.
func IsPlainID(id string) bool { return id != "" && len(id) <= MaxID && isPrintable(id) }

// CheckReason returns an error for a reason that is too long or not printable.
func CheckReason(reason string) error {
	if len(reason) > MaxReason || !isPrintable(reason) {
		return errReason
	}
	return nil
}

func isPrintable(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }
