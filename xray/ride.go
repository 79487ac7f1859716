package xray

import (
	"strconv"
	"time"

	"github.com/ridehail/ridehail/tracing"
)

// Ride is one trip, hop by hop.
type Ride struct {
	Trip          string  `json:"trip"`
	State         string  `json:"state"`
	From          string  `json:"from"` // latitude and longitude
	To            string  `json:"to"`
	RequestedAtMs float64 `json:"requested_at_ms"` // Unix

	Nodes []Node `json:"nodes"`
	// Complete reports whether every node answered and every expected hop was
	// seen.
	Complete bool    `json:"complete"`
	Phases   []Phase `json:"phases"` // by their beginning

	// Waited adds up to Duration, which lasts from the first hop to the end of
	// the last.
	Waited     Waited `json:"waited_us"`
	Duration   Micros `json:"duration_us"`
	ClockDoubt Micros `json:"clock_doubt_us"` // the largest of all hops
}

// Node is one of the nodes that were asked for hops.
type Node struct {
	Name    string `json:"name"`
	Hops    int    `json:"hops"`
	Doubt   Micros `json:"doubt_us"` // how far its clock may be from the asking node's
	Missing bool   `json:"missing"`  // it did not answer in time, or is of an earlier build
}

// Phase is a part of a ride, with its own zero.
type Phase struct {
	Name     tracing.Phase `json:"name"`
	Nth      int           `json:"nth,omitempty"`
	BeganAt  float64       `json:"began_at"` // Unix milliseconds
	Duration Micros        `json:"duration_us"`
	Unknown  Micros        `json:"unknown_us"` // no hop covers it

	// The gap after this phase, until the next phase that the ride waits for.
	// Positions, chat and reconnects happen meanwhile and do not end it.
	Gap     Micros       `json:"gap_us"`
	GapWait tracing.Wait `json:"gap_wait,omitempty"`
	GapWhat string       `json:"gap_what,omitempty"` // "driver drove to the pickup"

	BatchNote string `json:"batch_note,omitempty"` // what it shared with other trips
	Hops      []Hop  `json:"hops"`                 // by their beginning
}

// Hop is one step of a phase, seen or expected.
type Hop struct {
	Name      string            `json:"name"`
	Mechanism tracing.Mechanism `json:"mechanism"`
	From      tracing.Part      `json:"from"`
	To        tracing.Part      `json:"to"`
	Node      string            `json:"node,omitempty"` // empty: not seen

	Began    Micros `json:"began_us"` // since the phase's zero
	Duration Micros `json:"duration_us"`
	// Own is the part of Duration that no hop of the phase covers that began
	// later. All of a phase with its Unknown are the phase's Duration.
	Own   Micros `json:"own_us"`
	Doubt Micros `json:"doubt_us"` // of the two clocks; 0: one clock measured it

	Bytes    int  `json:"bytes,omitempty"`
	Sync     bool `json:"sync"` // the sender waits for the answer
	Batch    int  `json:"batch,omitempty"`
	Expected bool `json:"expected"`
	Seen     bool `json:"seen"`
	Repeated bool `json:"repeated,omitempty"` // an earlier one was enough

	Reason string       `json:"reason,omitempty"`
	Code   string       `json:"code,omitempty"`
	Failed bool         `json:"failed,omitempty"`
	Wait   tracing.Wait `json:"wait"` // what its time is spent on
	Key    string       `json:"key,omitempty"`
	Cause  string       `json:"cause,omitempty"` // the key of the hop that it comes from
	Source string       `json:"source,omitempty"`
	Frame  string       `json:"frame,omitempty"`

	// The same for all hops of the name.
	What       string `json:"what"`
	MayLose    string `json:"may_lose,omitempty"`
	MendedBy   string `json:"mended_by,omitempty"`
	Experiment string `json:"experiment,omitempty"`
}

// Waited is what the time of a ride was spent on.
type Waited struct {
	People  Micros `json:"people"`
	Queue   Micros `json:"queue"`
	Network Micros `json:"network"`
	Disk    Micros `json:"disk"`
	Code    Micros `json:"code"`
	Unknown Micros `json:"unknown"`
}

// Micros is a time that JSON has as microseconds with up to three decimals.
// Sums of it are exact.
type Micros time.Duration

// MarshalJSON writes microseconds.
func (m Micros) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m)/float64(time.Microsecond), 'f', -1, 64), nil
}

// UnmarshalJSON reads microseconds.
func (m *Micros) UnmarshalJSON(text []byte) error {
	us, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return err
	}
	nanoseconds := us * float64(time.Microsecond)
	if nanoseconds < 0 {
		*m = Micros(nanoseconds - 0.5)
	} else {
		*m = Micros(nanoseconds + 0.5)
	}
	return nil
}

// Kept is the trips that the asked nodes keep, the newest first.
type Kept struct {
	Trips []KeptTrip `json:"trips"`
	Nodes []Node     `json:"nodes"`
	Kept  int        `json:"kept"`
	Bytes int        `json:"bytes"`
	Limit int        `json:"limit_bytes"`
}

// KeptTrip is a trip that nodes keep hops of.
type KeptTrip struct {
	ID      string  `json:"id"`
	BeganMs float64 `json:"began_ms"`
	EndedMs float64 `json:"ended_ms"` // 0: it goes on
	Hops    int     `json:"hops"`
	Bytes   int     `json:"bytes"`
}

// Median is what the last finished rides of one node have in common.
type Median struct {
	Trips  int           `json:"trips"`
	Phases []MedianPhase `json:"phases"`
}

// MedianPhase is a phase as most rides have it.
type MedianPhase struct {
	Name     tracing.Phase `json:"name"`
	Duration Micros        `json:"duration_us"`
	Hops     []MedianHop   `json:"hops"`
}

// MedianHop is a hop as most rides have it.
type MedianHop struct {
	Name     string       `json:"name"`
	From     tracing.Part `json:"from"`
	To       tracing.Part `json:"to"`
	Began    Micros       `json:"began_us"`
	Duration Micros       `json:"duration_us"`
	Samples  []Micros     `json:"samples"` // durations, at most one a ride
}
