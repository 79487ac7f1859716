// Package chaos runs a city of real processes, breaks them and the lines
// between them by a seeded schedule, heals everything, and then asks
// independent witnesses whether a promise was broken.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is a way to break something.
type Kind string

// All kinds. Those with a line in their name act on a Line of a node, the
// others on a process.
const (
	KillNode     Kind = "kill node"     // SIGKILL, started again when healed
	PauseNode    Kind = "pause node"    // SIGSTOP, SIGCONT when healed
	KillRedis    Kind = "kill redis"    // SIGKILL, started again when healed
	PauseRedis   Kind = "pause redis"   // SIGSTOP, SIGCONT when healed
	FlushRedis   Kind = "flush redis"   // FLUSHALL: everything in it is gone
	KillPostgres Kind = "kill postgres" // SIGKILL, started again when healed
	// Amount milliseconds later in one direction
	SlowLine Kind = "slow line"
	// nothing gets through in one direction, and nobody is told
	BlackHoleLine Kind = "black-hole line"
	// connections break at the next byte in one direction
	ResetLine Kind = "reset line"
	// connections end after Amount bytes in one direction
	CutLine Kind = "cut line"
	// Amount percent of what is sent in one direction is lost and sent again,
	// as by TCP
	LossyLine Kind = "lossy line"
	// all phones lose their connection at the same moment
	Storm Kind = "storm"
	// SIGKILL, and a new start with a clock that is Amount milliseconds off
	SkewClock Kind = "skew clock"
	FullDisk  Kind = "full disk" // no file of Postgres' data can grow
	Hog       Kind = "hog"       // as many busy loops as processors
)

// Line is one of the ways between a node and the rest.
type Line string

// The lines of every node.
const (
	LinePhones   Line = "phones"
	LinePostgres Line = "postgres"
	LineRedis    Line = "redis"
	LineProvider Line = "provider"
)

var allLines = []Line{LinePhones, LinePostgres, LineRedis, LineProvider}

// Fault is one thing that is broken for a while.
type Fault struct {
	Kind Kind `json:"kind"`
	// from 1; 0 where it is about no node
	Node int  `json:"node,omitempty"`
	Line Line `json:"line,omitempty"`
	// of a line's directions: away from who connected
	Up bool `json:"up,omitempty"`
	// milliseconds, bytes, or percent
	Amount int           `json:"amount,omitempty"`
	At     time.Duration `json:"-"` // from the beginning of the run
	Lasts  time.Duration `json:"-"` // 0 for what is over at once
}

// String names the fault for a person.
func (f Fault) String() string {
	direction := map[bool]string{true: "up", false: "down"}[f.Up]
	switch f.Kind {
	case KillNode, PauseNode:
		return fmt.Sprintf("%s %d", f.Kind, f.Node)
	case SlowLine:
		return fmt.Sprintf("%s %d %s %s, %d ms", f.Kind, f.Node, f.Line, direction, f.Amount)
	case CutLine:
		return fmt.Sprintf("%s %d %s %s, %d bytes", f.Kind, f.Node, f.Line, direction, f.Amount)
	case LossyLine:
		return fmt.Sprintf("%s %d %s %s, %d %%", f.Kind, f.Node, f.Line, direction, f.Amount)
	case BlackHoleLine, ResetLine:
		return fmt.Sprintf("%s %d %s %s", f.Kind, f.Node, f.Line, direction)
	case SkewClock:
		return fmt.Sprintf("%s %d, %+.1f s", f.Kind, f.Node, float64(f.Amount)/1e3)
	}

	return string(f.Kind)
}

// affectedPart is what a fault takes hold of; two faults never hold the same part at
// the same time.
func (f Fault) affectedPart() string {
	switch f.Kind {
	case KillNode, PauseNode, SkewClock:
		return "nodes" // one at a time, so that there is a city left
	case KillRedis, PauseRedis, FlushRedis:
		return "redis"
	case KillPostgres, FullDisk:
		return "postgres"
	case Storm, Hog:
		return string(f.Kind)
	}
	return fmt.Sprintf("%d %s", f.Node, f.Line)
}

// durationRange says how long faults of a kind last.
type durationRange struct{ least, most time.Duration }

var faultDurations = map[Kind]durationRange{
	KillNode: {300 * time.Millisecond, 3 * time.Second},
	// some outlast the time after which a node counts as gone
	PauseNode:     {500 * time.Millisecond, 7 * time.Second},
	KillRedis:     {200 * time.Millisecond, 3 * time.Second},
	PauseRedis:    {500 * time.Millisecond, 5 * time.Second},
	FlushRedis:    {},
	KillPostgres:  {200 * time.Millisecond, 3 * time.Second},
	SlowLine:      {time.Second, 6 * time.Second},
	BlackHoleLine: {500 * time.Millisecond, 5 * time.Second},
	ResetLine:     {500 * time.Millisecond, 3 * time.Second},
	CutLine:       {500 * time.Millisecond, 3 * time.Second},
	LossyLine:     {2 * time.Second, 6 * time.Second},
	Storm:         {},
	SkewClock:     {300 * time.Millisecond, 3 * time.Second},
	FullDisk:      {time.Second, 5 * time.Second},
	Hog:           {time.Second, 5 * time.Second},
}

// allKinds in a fixed order: a map's would differ from run to run.
var allKinds = []Kind{KillNode, PauseNode, KillRedis, PauseRedis, FlushRedis, KillPostgres, SlowLine, BlackHoleLine, ResetLine,
	CutLine, LossyLine, Storm, SkewClock, FullDisk, Hog}

const (
	faultInterval = 2 * time.Second // between the beginnings of two faults
	warmUp        = 5 * time.Second // at most, before the first fault
	maxSlow       = 800             // milliseconds
	maxCut        = 4000            // bytes
	maxLoss       = 10              // percent
	maxSkew       = 5 * time.Minute // of a node's clock, either way
)

// Plan returns the faults of a run of a given length over some nodes, in the
// order in which they begin. It depends on nothing but its arguments. All kinds
// come once, in some order, before any comes again, however short the run; all
// faults are over when the run is.
func Plan(seed uint64, length time.Duration, nodes int) []Fault {
	rng := rand.New(rand.NewPCG(seed, 0x6368616f73))
	first := min(warmUp, length/6)
	n := max(len(allKinds), int((length-first)/faultInterval))
	slot := (length - first) / time.Duration(n)

	plan := make([]Fault, n)
	var deck []Kind
	for i := range plan {
		if len(deck) == 0 {
			deck = shuffleKinds(rng, allKinds)
		}
		plan[i] = drawFault(rng, deck[0], nodes)
		plan[i].At = first + time.Duration(i)*slot + randomBelow(rng, slot/2)
		deck = deck[1:]
	}

	next := map[string]time.Duration{} // when each part breaks again
	for i := n - 1; i >= 0; i-- {
		f := &plan[i]
		until := length
		if at, again := next[f.affectedPart()]; again {
			until = at - slot/4
		}
		f.Lasts = min(f.Lasts, until-f.At)
		next[f.affectedPart()] = f.At
	}

	return plan
}

// drawFault chooses everything about a fault but its time.
func drawFault(rng *rand.Rand, k Kind, nodes int) Fault {
	s := faultDurations[k]
	f := Fault{Kind: k, Lasts: s.least + randomBelow(rng, s.most-s.least)}
	switch k {
	case KillNode, PauseNode, SkewClock:
		f.Node = 1 + rng.IntN(nodes)
	case SlowLine, BlackHoleLine, ResetLine, CutLine, LossyLine:
		f.Node, f.Line, f.Up = 1+rng.IntN(nodes), allLines[rng.IntN(len(allLines))], rng.IntN(2) == 0
	}

	switch k {
	case SlowLine:
		f.Amount = 50 + rng.IntN(maxSlow-50)
	case CutLine:
		f.Amount = 1 + rng.IntN(maxCut)
	case LossyLine:
		f.Amount = 1 + rng.IntN(maxLoss)
	case SkewClock:
		f.Amount = int(randomSkew(rng).Milliseconds())
	}

	return f
}

// clockSkews are how far off the nodes' clocks are when a run begins. Like Plan,
// they depend on the arguments alone.
func clockSkews(seed uint64, nodes int) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 0x736b6577))
	out := make([]time.Duration, nodes)
	for i := range out {
		out[i] = randomSkew(rng)
	}
	return out
}

func randomSkew(rng *rand.Rand) time.Duration { return randomBelow(rng, 2*maxSkew) - maxSkew }

// randomBelow is a duration below d, in whole milliseconds so that a report shows it
// exactly; 0 when d is.
func randomBelow(rng *rand.Rand, d time.Duration) time.Duration {
	if d < time.Millisecond {
		return 0
	}
	return time.Duration(rng.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}

func shuffleKinds(rng *rand.Rand, ks []Kind) []Kind {
	out := slices.Clone(ks)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
