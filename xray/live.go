// Package xray tells what tracing recorded: one ride hop by hop, with what was
// expected and not seen, and what all mechanisms do at this moment.
package xray

// Live is what a node's mechanisms do now, as the page's map shows it.
type Live struct {
	AtMs     float64   `json:"at_ms"`
	Node     string    `json:"node"`
	Nodes    []string  `json:"nodes"` // all that are alive, this one too
	Lines    []Line    `json:"lines"`
	Stations []Station `json:"stations"`
	Dots     []Dot     `json:"dots"`
	Ledger   []Account `json:"ledger"`
	Faults   []Fault   `json:"faults"`
	Newest   string    `json:"newest_trip,omitempty"`
	Ring     RingUse   `json:"ring"`
}

// Line is the traffic of one mechanism between two parts.
type Line struct {
	ID        string  `json:"id"` // from-to:mechanism
	From      string  `json:"from"`
	To        string  `json:"to"`
	Mechanism string  `json:"mechanism"`
	RateHz    float64 `json:"rate_hz"` // of all messages
	WasHz     float64 `json:"was_hz"`  // before the line was held or cut; 0 while it is neither
	P50Us     float64 `json:"p50_us"`  // of sampled hops of the last 10 s; 0: none
	P99Us     float64 `json:"p99_us"`
	State     string  `json:"state"` // ok, held, cut or idle
}

// Station is what waits at a part.
type Station struct {
	Part     string `json:"part"`
	Waiting  int    `json:"waiting"`
	Unit     string `json:"unit"` // "rows", "jobs"
	Sentence string `json:"sentence,omitempty"`
}

// Dot is a message that was seen on a line.
type Dot struct {
	Line  string  `json:"line"`
	Trip  string  `json:"trip,omitempty"` // empty: of several trips
	Name  string  `json:"name"`
	AgoMs float64 `json:"ago_ms"`
}

// Account is what became of the messages of one class. Sent is the sum of all
// that follow.
type Account struct {
	Mechanism   string `json:"mechanism"`
	Class       string `json:"class"`
	Sent        int64  `json:"sent"`
	Delivered   int64  `json:"delivered"`
	Recovered   int64  `json:"recovered"`
	Repeated    int64  `json:"repeated"`
	Overwritten int64  `json:"overwritten"`
	Lost        int64  `json:"lost"`
	Waiting     int64  `json:"waiting"`
}

// Fault is a switch that breaks something on purpose.
type Fault struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Station  string  `json:"station"` // the part that it stands beside
	On       bool    `json:"on"`
	SinceMs  float64 `json:"since_ms,omitempty"`
	Sentence string  `json:"sentence,omitempty"` // its effect, once measured
	By       string  `json:"by,omitempty"`       // the page that switched it on
	Possible bool    `json:"possible"`
	Why      string  `json:"why,omitempty"` // it is not possible
}

// RingUse is how full the memory of rides is.
type RingUse struct {
	Rides int `json:"rides"`
	Bytes int `json:"bytes"`
	Limit int `json:"limit_bytes"`
}
