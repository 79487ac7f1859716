package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A trip's id is its trace id, and a quote's too. The last 56 bits of a UUID
// are random, which are the ones that W3C Trace Context means; they decide
// whether a trip is sampled. A trip takes them from its quote (NewTripID), so
// that both are sampled or neither.

// suffixBytes is how much of an id decides, counted from its end.
const suffixBytes = 7

// suffix is the random end that a trip shares with its quote.
type suffix [suffixBytes]byte

func suffixOf(id trace.TraceID) suffix { return suffix(id[16-suffixBytes:]) }

// traceIDOf returns the trace id of a trip or a quote; false if the text is no
// UUID.
func traceIDOf(id string) (trace.TraceID, bool) {
	parsed, err := uuid.Parse(id)
	return trace.TraceID(parsed), err == nil && len(id) == 36
}

// NewTripID returns an id for a trip that is asked for with a quote. It is new,
// and sampled if the quote is. With a quote of an earlier build, or none, it is
// simply new.
func NewTripID(quote string) string {
	id := uuid.New()
	if of, ok := traceIDOf(quote); ok {
		copy(id[16-suffixBytes:], of[16-suffixBytes:])
	}
	return id.String()
}

// spanIDOf returns the id of the span that a key names in a trip, so that who
// links to it needs to know no more than the key.
func spanIDOf(id trace.TraceID, key string) trace.SpanID {
	sum := sha256.Sum256(append(id[:], key...))
	return trace.SpanID(sum[:8])
}

// RootKey is the key of the one hop of a trip that all others are children of:
// Ride, recorded once when the trip has ended. Of a quote it is QuoteRead.
const RootKey = "ride"

// rootOf returns the context that all spans of a trip are children of.
func rootOf(id trace.TraceID) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: spanIDOf(id, RootKey), TraceFlags: trace.FlagsSampled, Remote: true})
}

// chosen is what a span that we begin is told through its context.
type chosen struct {
	trace trace.TraceID // of a span without a parent
	span  trace.SpanID  // zero: any
}

type chosenKey struct{}

func withChosen(ctx context.Context, c chosen) context.Context {
	return context.WithValue(ctx, chosenKey{}, c)
}

// idGenerator gives a span the ids that were chosen for it.
type idGenerator struct{}

var _ sdk.IDGenerator = idGenerator{}

func (idGenerator) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	c, _ := ctx.Value(chosenKey{}).(chosen)
	if t = c.trace; !t.IsValid() {
		_, _ = rand.Read(t[:])
	}
	return t, newSpanID(c)
}

func (idGenerator) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	c, _ := ctx.Value(chosenKey{}).(chosen)
	return newSpanID(c)
}

func newSpanID(c chosen) trace.SpanID {
	if s := c.span; s.IsValid() {
		return s
	}
	var s trace.SpanID
	_, _ = rand.Read(s[:])
	return s
}

// threshold is the least suffix that is sampled, as the text of an id has it.
type threshold struct {
	all, none bool
	high      string // the two digits before the last dash
	low       string // the twelve digits after it
	number    uint64
}

// newThreshold returns the threshold for a share of all trips.
func newThreshold(ratio float64) threshold {
	if ratio >= 1 {
		return threshold{all: true}
	}
	if !(ratio > 0) {
		return threshold{none: true}
	}
	const whole = 1 << (8 * suffixBytes)
	n := uint64(whole - ratio*whole)
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * (7 - i)))
	}
	text := hex.EncodeToString(b[1:])
	return threshold{high: text[:2], low: text[2:], number: n}
}

// admitsText compares digits, which sort like the numbers that they write.
func (t *threshold) admitsText(id string) bool {
	if len(id) != 36 || t.none {
		return false
	}
	if t.all {
		return true
	}
	high := id[21:23]
	return high > t.high || high == t.high && id[24:] >= t.low
}

func (t *threshold) admits(id trace.TraceID) bool {
	if t.all || t.none {
		return t.all
	}
	var n uint64
	for _, b := range suffixOf(id) {
		n = n<<8 | uint64(b)
	}
	return n >= t.number
}

// sampler samples the spans that we chose, the children of sampled ones, and
// of other traces the same share as of trips.
type sampler struct{ threshold threshold }

var _ sdk.Sampler = sampler{}

func (s sampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	_, isChosen := p.ParentContext.Value(chosenKey{}).(chosen)

	result := sdk.SamplingResult{Decision: sdk.Drop, Tracestate: parent.TraceState()}
	if isChosen || parent.IsSampled() || !parent.IsValid() && s.threshold.admits(p.TraceID) {
		result.Decision = sdk.RecordAndSample
	}
	return result
}

func (s sampler) Description() string { return "ridehail: by the last 56 bits of the trip's id" }
