// Package finding is the lab's format: what an experiment asks, what a person
// may turn, and what a run found. A Finding is data, so that terminal, picture,
// JSON and page show the same.
package finding

import (
	"context"
	"errors"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
)

// Experiment is one question of the course and the way to answer it by running
// real parts of the app. Its fields never change.
type Experiment struct {
	Name      string   // one word, as in ridehail lab NAME
	Topic     Topic    // the heading it stands under
	Asks      []string // which of the course's questions, such as "R4"
	Question  string   // in one line, for a heading
	Teaser    string   // in at most five words, for a list
	Situation string   // what a person guesses about, in at most 100 characters
	// Options are two to four answers to guess from, called A, B, C, D.
	Options []string

	Knobs []Knob
	Takes time.Duration // at the defaults
	// TakesRedis and TakesDatabase say whether --redis and --database name real
	// servers for it. Without them it uses embedded ones.
	TakesRedis, TakesDatabase bool

	Real string // which parts of the app it runs, in one line
	Made string // what is made up: people, faults; in one line
	Code []Code // what to read after the run, the main place first
	Next string // what to break or turn next, with the command

	// Frame returns the empty chart of a run: axes with fixed ends, laws, bands
	// and limits, so that nothing jumps when points come.
	Frame func(Values) plot.Chart
	// Run runs the experiment. It returns when everything it started has ended,
	// also when ctx ends first; then it returns ctx's error. It wraps
	// ErrUnreachable when a server that a URL names does not answer.
	Run func(context.Context, *Run) (Result, error)
}

// Code is a place in the source, for "read the code": File from the module's
// root and Func as in docs, such as Worker.Run. A test looks them up.
type Code struct {
	File string `json:"file"`
	Func string `json:"func"`
	Why  string `json:"why"` // in five words: what a reader finds there
}

// Errors that callers tell apart. The wrapping error says what to do.
var (
	ErrUsage       = errors.New("cannot run that")
	ErrUnreachable = errors.New("cannot be reached")
)

// Topic is one of the course's headings.
type Topic string

// The headings, in the order of the list.
const (
	MessagesOrMemory Topic = "Messages or shared memory"
	Waiting          Topic = "Waiting, or not"
	LatencyAndLoss   Topic = "Latency and loss"
	Consistency      Topic = "Consistency, synchronization"
	QueueOrDirect    Topic = "Queue, topic or direct message"
	RideHailing      Topic = "Ride hailing; failed or slow"
)

// CourseQuestions are the course's questions, word for word, by number.
var CourseQuestions = map[string]string{
	"R1": "How do message passing and shared memory differ in terms of performance and scalability in large distributed systems?",
	"R2": "When should message passing be preferred over shared memory, and vice versa?",
	"R3": "What are the trade-offs between synchronous and asynchronous communication?",
	"R4": "How can latency and message loss affect performance, and what can mitigate them?",
	"R5": "Where does shared memory bring trouble with consistency and synchronization?",
	"P1": "How does message passing ensure reliability?",
	"P2": "What role does latency play in choosing between message passing and shared memory?",
	"P3": "How can shared memory lead to synchronization issues, and what tools help?",
	"P4": "What is the best communication mechanism for a real-time application like a ride-hailing service?",
	"P5": "When is a message queue a better choice than direct message passing?",
	"C1": "Which communication model suits which architecture (fintech, hospital, shop, ride hailing)?",
	"C2": "Failed, or only slow?",
}
