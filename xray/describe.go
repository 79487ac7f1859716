package xray

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/tracing"
)

// describe returns the phase for people.
func (p *phase) describe() Phase {
	d := Phase{Name: p.name, Nth: p.nth, BeganAt: float64(p.began) / 1e6, Duration: Micros(p.ended - p.began), Unknown: Micros(p.unknown),
		Gap: Micros(p.gap), GapWait: p.gapWait, GapWhat: p.gapWhat, BatchNote: p.batchNote(), Hops: []Hop{}}
	for _, s := range p.steps {
		d.Hops = append(d.Hops, s.describe(p.began))
	}
	return d
}

func (s *step) describe(zero int64) Hop {
	return Hop{Name: s.Name, Mechanism: cmp.Or(s.Mechanism, s.kind.Mechanism), From: s.From, To: s.To, Node: s.Node,
		Began: Micros(s.began - zero), Duration: Micros(s.ended - s.began), Own: Micros(s.own), Doubt: s.doubt,
		Bytes: s.Bytes, Sync: s.kind.Sync, Batch: s.Batch, Expected: s.isExpected, Seen: s.isSeen, Repeated: s.isRepeated,
		Reason: s.Reason, Code: s.Code, Failed: s.Failed, Wait: s.kind.Wait, Key: s.Key, Cause: s.Cause, Source: s.Source, Frame: s.Frame,
		What: s.kind.What, MayLose: s.kind.MayLose, MendedBy: s.kind.MendedBy, Experiment: s.kind.Experiment}
}

// shared says what a batch of a kind of hop is.
var shared = map[*tracing.Kind]string{
	tracing.WindowWait: "one window for %d trips",
	tracing.Assignment: "one assignment for %d trips",
	tracing.Statement:  "one commit for %d moves",
	tracing.Publish:    "one round trip for %d messages",
	tracing.StateRead:  "one read for %d phones",
}

// batchNote says what the phase shared with other trips.
func (p *phase) batchNote() string {
	var notes []string
	noted := map[*tracing.Kind]bool{}
	for _, s := range p.steps {
		if what := shared[s.kind]; what != "" && s.Batch > 1 && !noted[s.kind] {
			noted[s.kind] = true
			notes = append(notes, fmt.Sprintf(what, s.Batch))
		}
	}
	return strings.Join(notes, "; ")
}
