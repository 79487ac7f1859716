package translate

import (
	"github.com/ridehail/ridehail/internal/text"
	"github.com/ridehail/ridehail/wire"
)

const (
	// MaxID is how many bytes the id of a command, a trip or an alert may have.
	MaxID = text.MaxID
	// MaxReason is how many bytes the reason of a cancellation may have.
	MaxReason = 200
)

var errReason = Refuse(wire.CodeBadField, "The reason is at most 200 bytes of text without control characters.")

// IsPlainID returns true if s can be an id of ours or of a command. Each place
// that takes an id from outside asks it before a store or Redis sees the id: a
// database may refuse other text with an error that looks like a failure of its
// own.
func IsPlainID(s string) bool { return text.IsID(s) }

// CleanReason returns the reason of a cancellation as it is kept; see
// text.Clean. The error is for one that is too long or not printable.
func CleanReason(reason string) (string, error) {
	clean, ok := text.Clean(reason)
	if !ok || len(clean) > MaxReason {
		return "", errReason
	}
	return clean, nil
}
