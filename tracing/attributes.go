package tracing

import (
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The names of our own attributes. All others are those of OpenTelemetry's
// semantic conventions.
const (
	attrPhase     = "ridehail.phase"
	attrNth       = "ridehail.nth"
	attrMechanism = "ridehail.mechanism"
	attrFrom      = "ridehail.from"
	attrTo        = "ridehail.to"
	attrSync      = "ridehail.sync"
	attrBytes     = "ridehail.bytes"
	attrBatch     = "ridehail.batch"
	attrKey       = "ridehail.key"
	attrCause     = "ridehail.cause"
	attrReason    = "ridehail.reason"
	attrCode      = "ridehail.code"
	attrFrame     = "ridehail.frame"
	attrSource    = "code.file.path" // with ":" and the line
)

// attributes returns what a span says of the hop.
func (h *Hop) attributes() []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 20), attribute.String(attrPhase, string(h.Phase)), attribute.String(attrMechanism, string(h.Mechanism)),
		attribute.String(attrFrom, string(h.From)), attribute.String(attrTo, string(h.To)), attribute.Bool(attrSync, h.Sync))
	for _, text := range [][2]string{{attrKey, h.Key}, {attrCause, h.Cause}, {attrReason, h.Reason}, {attrCode, h.Code}, {attrFrame, clip(h.Frame)}} {
		if text[1] != "" {
			all = append(all, attribute.String(text[0], text[1]))
		}
	}
	for _, number := range []struct {
		name  string
		value int
	}{{attrNth, h.Nth}, {attrBytes, h.Bytes}, {attrBatch, h.Batch}} {
		if number.value != 0 {
			all = append(all, attribute.Int(number.name, number.value))
		}
	}
	return append(all, h.conventions()...)
}

// attributes returns what the link to this trip says.
func (s *Shared) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String(attrPhase, string(s.Phase)), attribute.Int(attrNth, s.Nth), attribute.String(attrKey, s.Key)}
	if s.Cause != "" {
		all = append(all, attribute.String(attrCause, s.Cause))
	}
	return all
}

// forTrip returns the hop as one of the trips of its batch sees it.
func (r Recorded) forTrip(link []attribute.KeyValue) Recorded {
	r.readAttributes(link)
	return r
}

// conventions returns the attributes that collectors know.
func (h *Hop) conventions() []attribute.KeyValue {
	var all []attribute.KeyValue
	if h.IsFailure {
		all = append(all, attribute.String("error.type", h.Code))
	}

	switch h.Mechanism {
	case PubSub, Direct, Queue:
		all = append(all, attribute.String("messaging.system", "redis"), attribute.String("messaging.operation.type", h.messagingOperation()),
			attribute.String("messaging.operation.name", h.Name))
		if h.Batch > 1 {
			all = append(all, attribute.Int("messaging.batch.message_count", h.Batch))
		}
		if h.Bytes > 0 {
			all = append(all, attribute.Int("messaging.message.body.size", h.Bytes))
		}
	case Database:
		all = append(all, attribute.String("db.operation.name", h.Name))
		if h.Batch > 1 {
			all = append(all, attribute.Int("db.operation.batch.size", h.Batch))
		}
	case Socket:
		all = append(all, attribute.String("network.protocol.name", "websocket"))
	}
	return all
}

func (h *Hop) messagingOperation() string {
	if h.spanKind() == trace.SpanKindConsumer {
		return "process"
	}
	return "send"
}

// spanKind follows from the direction: to a broker, from it, or a call that
// waits.
func (h *Hop) spanKind() trace.SpanKind {
	switch {
	case h.Mechanism == PubSub || h.Mechanism == Direct || h.Mechanism == Queue:
		if h.From == Redis || h.From == JobQueue {
			return trace.SpanKindConsumer
		}
		return trace.SpanKindProducer
	case h.Mechanism == RPC && h.To == Gateway:
		return trace.SpanKindServer
	case h.Sync && (h.Mechanism == RPC || h.Mechanism == Database):
		return trace.SpanKindClient
	}
	return trace.SpanKindInternal
}

// clip cuts a frame at a whole character.
func clip(frame string) string {
	if len(frame) <= MaxFrame {
		return frame
	}
	cut := MaxFrame - len("…")
	for !utf8.RuneStart(frame[cut]) {
		cut--
	}
	return frame[:cut] + "…"
}

// Recorded is a hop as a node keeps it, and as nodes tell it to each other.
type Recorded struct {
	Trace string `json:"trace"` // of the trip, the quote, or the batch
	Span  string `json:"span"`
	Name  string `json:"name"`
	Phase Phase  `json:"phase,omitempty"`
	Nth   int    `json:"nth,omitempty"`
	From  Part   `json:"from"`
	To    Part   `json:"to"`
	Node  string `json:"node"`
	// Mechanism is that of the hop, which Kind may not have: a call within a
	// node stands for a message between two.
	Mechanism Mechanism `json:"mechanism,omitempty"`
	Began     int64     `json:"began"` // Unix nanoseconds by the node's clock
	Ended     int64     `json:"ended"`
	Bytes     int       `json:"bytes,omitempty"`
	Batch     int       `json:"batch,omitempty"`
	Key       string    `json:"key,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Code      string    `json:"code,omitempty"`
	Failed    bool      `json:"failed,omitempty"`
	Frame     string    `json:"frame,omitempty"`
	Source    string    `json:"source,omitempty"`
}

// Kind returns what the hop's name stands for; nil for one of a later build.
func (r *Recorded) Kind() *Kind { return KindNamed(r.Name) }

// Duration returns how long the hop took.
func (r *Recorded) Duration() time.Duration { return time.Duration(r.Ended - r.Began) }

// hopSize is what a hop takes without its texts: itself, its place in the ride's
// list, and what the allocator rounds up.
const hopSize = int(unsafe.Sizeof(Recorded{})) + 80

// size is about what the hop takes in memory.
func (r *Recorded) size() int {
	return hopSize + len(r.Key) + len(r.Cause) + len(r.Reason) + len(r.Frame) + len(r.Trace) + len(r.Span) + len(r.Source)
}

// decodeSpan returns the hop that a span records, and false for a span of a
// library.
func decodeSpan(node string, s sdk.ReadOnlySpan) (r Recorded, ok bool) {
	k := KindNamed(s.Name())
	if k == nil {
		return r, false
	}

	r = Recorded{Trace: s.SpanContext().TraceID().String(), Span: s.SpanContext().SpanID().String(), Name: k.Name, Node: node,
		Began: s.StartTime().UnixNano(), Ended: s.EndTime().UnixNano(), Failed: strings.EqualFold(s.Status().Code.String(), "error")}
	return r, r.readAttributes(s.Attributes())
}

// readAttributes fills in what the attributes say, and reports whether they are
// of a hop.
func (r *Recorded) readAttributes(all []attribute.KeyValue) (isHop bool) {
	for _, a := range all {
		switch v := a.Value; string(a.Key) {
		case attrMechanism:
			isHop, r.Mechanism = true, Mechanism(v.AsString())
		case attrPhase:
			r.Phase = Phase(v.AsString())
		case attrFrom:
			r.From = Part(v.AsString())
		case attrTo:
			r.To = Part(v.AsString())
		case attrKey:
			r.Key = v.AsString()
		case attrCause:
			r.Cause = v.AsString()
		case attrReason:
			r.Reason = v.AsString()
		case attrCode:
			r.Code = v.AsString()
		case attrFrame:
			r.Frame = v.AsString()
		case attrSource:
			r.Source = v.AsString()
		case attrNth:
			r.Nth = int(v.AsInt64())
		case attrBytes:
			r.Bytes = int(v.AsInt64())
		case attrBatch:
			r.Batch = int(v.AsInt64())
		}
	}
	return isHop
}
