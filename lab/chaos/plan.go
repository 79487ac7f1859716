// Package chaos runs a city of real processes. It injects faults into them and
// into the lines between them by a seeded schedule, heals everything, and then
// checks independent records for broken invariants.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is a way to break something.
type Kind string

// All kinds. Those with a line in their name act on a Line of a node, in one
// direction. The others act on a process.
const (
	KillNode     Kind = "kill node"     // SIGKILL; started again when healed
	PauseNode    Kind = "pause node"    // SIGSTOP; SIGCONT when healed
	KillRedis    Kind = "kill redis"    // SIGKILL; started again when healed
	PauseRedis   Kind = "pause redis"   // SIGSTOP; SIGCONT when healed
	FlushRedis   Kind = "flush redis"   // FLUSHALL: all its data is gone
	KillPostgres Kind = "kill postgres" // SIGKILL; started again when healed
	SlowLine     Kind = "slow line"     // Amount milliseconds of delay
	// BlackHoleLine: nothing arrives, and neither side notices.
	BlackHoleLine Kind = "black-hole line"
	ResetLine     Kind = "reset line" // connections break at the next byte
	CutLine       Kind = "cut line"   // connections end after Amount bytes
	LossyLine     Kind = "lossy line" // Amount percent of packets are lost
	Storm         Kind = "storm"      // all phones disconnect at once
	SkewClock     Kind = "skew clock" // killed; back with a clock Amount ms off
	FullDisk      Kind = "full disk"  // no file of Postgres' data can grow
	Hog           Kind = "hog"        // as many busy loops as processors
	// Of a Redis Cluster. A master that is killed comes back as a replica when
	// another one has taken its place.
	FailOverRedis Kind = "fail over redis master"
	PauseMaster   Kind = "pause redis master" // SIGSTOP; SIGCONT when healed
	Reshard       Kind = "reshard"            // slots move to other masters, in use
	// The primary is killed. When healed, its standby is promoted, and a new
	// one follows it.
	PromoteStandby   Kind = "promote standby"
	RestartPgBouncer Kind = "restart pgbouncer" // SIGKILL; started again when healed
	// All packets from and to a node in a network namespace vanish.
	CutOffNode Kind = "cut off node"
)

// Line is one of the connections between a node and the rest.
type Line string

// The lines of every node.
const (
	LinePhones   Line = "phones"
	LinePostgres Line = "postgres"
	LineRedis    Line = "redis"
	LineProvider Line = "provider"
)

var allLines = []Line{LinePhones, LinePostgres, LineRedis, LineProvider}

// Fault is one thing that is broken for a while. Node counts from 1, and is 0
// for a fault that affects no single node. Up means the direction away from the
// side that connected. Amount is in milliseconds, bytes or percent, or the
// number of a master or of a group of channels, as the Kind says. At counts from
// the beginning of the run; Lasts is 0 for a fault that is over at once.
type Fault struct {
	Kind   Kind          `json:"kind"`
	Node   int           `json:"node,omitempty"`
	Line   Line          `json:"line,omitempty"`
	Up     bool          `json:"up,omitempty"`
	Amount int           `json:"amount,omitempty"`
	At     time.Duration `json:"-"`
	Lasts  time.Duration `json:"-"`
}

// String names the fault for a person.
func (f Fault) String() string {
	direction := map[bool]string{true: "up", false: "down"}[f.Up]
	switch f.Kind {
	case KillNode, PauseNode, CutOffNode:
		return fmt.Sprintf("%s %d", f.Kind, f.Node)
	case SlowLine:
		return fmt.Sprintf("%s %d %s %s, %d ms", f.Kind, f.Node, f.Line, direction, f.Amount)
	case CutLine:
		return fmt.Sprintf("%s %d %s %s, %d bytes", f.Kind, f.Node, f.Line, direction, f.Amount)
	case LossyLine:
		return fmt.Sprintf("%s %d %s %s, %d %%", f.Kind, f.Node, f.Line, direction, f.Amount)
	case FailOverRedis, PauseMaster:
		return fmt.Sprintf("%s %d", f.Kind, f.Amount+1)
	case BlackHoleLine, ResetLine:
		return fmt.Sprintf("%s %d %s %s", f.Kind, f.Node, f.Line, direction)
	case SkewClock:
		return fmt.Sprintf("%s %d, %+.1f s", f.Kind, f.Node, float64(f.Amount)/1e3)
	}

	return string(f.Kind)
}

// affectedPart names what a fault acts on. Two faults never act on the same
// part at the same time.
func (f Fault) affectedPart() string {
	switch f.Kind {
	case KillNode, PauseNode, SkewClock, CutOffNode:
		return "nodes" // one at a time, so that another one serves
	case KillRedis, PauseRedis, FlushRedis, FailOverRedis, PauseMaster, Reshard:
		return "redis"
	case KillPostgres, FullDisk, PromoteStandby, RestartPgBouncer:
		return "postgres"
	case Storm, Hog:
		return string(f.Kind)
	}
	return fmt.Sprintf("%d %s", f.Node, f.Line)
}

// durationRange is how long faults of a kind last.
type durationRange struct{ least, most time.Duration }

var faultDurations = map[Kind]durationRange{
	KillNode: {300 * time.Millisecond, 3 * time.Second},
	// Some pauses make a node count as gone.
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
	// Servers of a cluster miss a master after a second.
	FailOverRedis:    {2 * time.Second, 6 * time.Second},
	PauseMaster:      {500 * time.Millisecond, 5 * time.Second},
	Reshard:          {},
	PromoteStandby:   {500 * time.Millisecond, 3 * time.Second},
	RestartPgBouncer: {200 * time.Millisecond, 3 * time.Second},
	CutOffNode:       {500 * time.Millisecond, 7 * time.Second},
}

// allKinds has a fixed order; that of a map would differ between runs.
var allKinds = []Kind{KillNode, PauseNode, KillRedis, PauseRedis, FlushRedis, KillPostgres, SlowLine, BlackHoleLine, ResetLine,
	CutLine, LossyLine, Storm, SkewClock, FullDisk, Hog, FailOverRedis, PauseMaster, Reshard, PromoteStandby, RestartPgBouncer,
	CutOffNode}

const (
	faultInterval = 2 * time.Second // between the beginnings of two faults
	warmUp        = 5 * time.Second // at most, before the first fault
	maxSlow       = 800             // milliseconds
	maxCut        = 4000            // bytes
	maxLoss       = 10              // percent
	maxSkew       = 5 * time.Minute // of a node's clock, either way
	tagGroups     = 8               // of channels; a reshard moves one group
	masters       = 3               // of a Redis Cluster
)

// Plan returns the faults of a run of some length over some nodes, in the order
// of their beginnings. It depends on the arguments alone. All kinds come once,
// in random order, before any comes again, however short the run is. All faults
// are over when the run is.
func Plan(seed uint64, length time.Duration, nodes int, on Engines) []Fault {
	rng, kinds := rand.New(rand.NewPCG(seed, 0x6368616f73)), on.kinds()
	first := min(warmUp, length/6)
	n := max(len(kinds), int((length-first)/faultInterval))
	slot := (length - first) / time.Duration(n)

	plan := make([]Fault, n)
	var deck []Kind
	for i := range plan {
		if len(deck) == 0 {
			deck = shuffleKinds(rng, kinds)
		}
		plan[i] = drawFault(rng, deck[0], nodes, on.lines())
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

// drawFault chooses everything about a fault except its time.
func drawFault(rng *rand.Rand, k Kind, nodes int, lines []Line) Fault {
	s := faultDurations[k]
	f := Fault{Kind: k, Lasts: s.least + randomBelow(rng, s.most-s.least)}
	switch k {
	case KillNode, PauseNode, SkewClock, CutOffNode:
		f.Node = 1 + rng.IntN(nodes)
	case SlowLine, BlackHoleLine, ResetLine, CutLine, LossyLine:
		f.Node, f.Line, f.Up = 1+rng.IntN(nodes), lines[rng.IntN(len(lines))], rng.IntN(2) == 0
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
	case FailOverRedis, PauseMaster:
		f.Amount = rng.IntN(masters)
	case Reshard:
		f.Amount = rng.IntN(tagGroups)
	}

	return f
}

// clockSkews returns the offsets of the nodes' clocks at the beginning of a
// run. Like Plan, it depends on the arguments alone.
func clockSkews(seed uint64, nodes int) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 0x736b6577))
	out := make([]time.Duration, nodes)
	for i := range out {
		out[i] = randomSkew(rng)
	}
	return out
}

func randomSkew(rng *rand.Rand) time.Duration { return randomBelow(rng, 2*maxSkew) - maxSkew }

// randomBelow returns a duration below d in whole milliseconds, which a report
// shows exactly; 0 if d is shorter than one.
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
