package line

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Spec says what a line is like. Both figures are those of each way: a round
// trip takes twice the delay, and each of its ways may lose.
type Spec struct {
	Delay time.Duration // of each way
	Loss  float64       // percent of the chunks, each of which counts as a packet
}

// The ends of what Parse takes. With more than that, connections time out, and
// a run measures the timeouts.
const (
	MaxDelay = 2 * time.Second
	MaxLoss  = 20.0
)

// ErrSpec is wrapped by the errors of Parse.
var ErrSpec = errors.New("no line")

// Parse reads DELAY,LOSS such as 40ms,2%: both of each way.
func Parse(text string) (Spec, error) {
	delay, loss, both := strings.Cut(text, ",")
	percent, hasSign := strings.CutSuffix(strings.TrimSpace(loss), "%")
	wait, err := time.ParseDuration(strings.TrimSpace(delay))
	share, err2 := strconv.ParseFloat(percent, 64)
	if !both || !hasSign || err != nil || err2 != nil {
		return Spec{}, fmt.Errorf("%w: %q; want DELAY,LOSS such as 40ms,2%%", ErrSpec, text)
	}

	// Written so that what is not a number is refused as well.
	if !(wait >= 0 && wait <= MaxDelay && share >= 0 && share <= MaxLoss) {
		return Spec{}, fmt.Errorf("%w: %q; want DELAY,LOSS of at most %v,%g%%, such as 40ms,2%%", ErrSpec, text, MaxDelay, MaxLoss)
	}
	return Spec{wait, share}, nil
}

// UnmarshalText reads what Parse reads, so that a flag may be a Spec.
func (s *Spec) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}

// OfRoundTrip returns a line without loss whose round trip takes d.
func OfRoundTrip(d time.Duration) Spec { return Spec{Delay: d / 2} }

// RoundTrip returns how long both ways take without loss.
func (s Spec) RoundTrip() time.Duration { return 2 * s.Delay }

// String returns what Parse reads.
func (s Spec) String() string { return fmt.Sprintf("%v,%g%%", s.Delay, s.Loss) }

// Describe says in words what the line is like.
func (s Spec) Describe() string {
	return fmt.Sprintf("%v and %g %% loss each way; a round trip takes %v", s.Delay, s.Loss, s.RoundTrip())
}

// A chunk that is lost waits for TCP's retransmission timeout: Linux's minimum
// above the round trip, doubled for each further loss (RFC 6298).
const (
	minRetransmitTimeout = 200 * time.Millisecond
	maxRetransmits       = 6 // then it gets through
)

// RetransmitDelay returns how much later a chunk arrives that was lost, and how
// often it was lost. It asks lost for each try. Faster recovery, such as three
// duplicate acks, needs more packets under way than small frames make.
func RetransmitDelay(roundTrip time.Duration, lost func() bool) (late time.Duration, times int) {
	wait := minRetransmitTimeout + roundTrip
	for times < maxRetransmits && lost() {
		late += wait
		wait *= 2
		times++
	}
	return late, times
}
