package planted

import (
	"slices"
	"sync"
)

// Entry is one line of a history: something that a process did, or a message
// from one process to another. Numbers are Lamport's clock (1978): a process
// counts its events, and a receiver goes on after the sender's number.
type Entry struct {
	From string `json:"from"`
	To   string `json:"to,omitempty"` // empty: nothing was sent
	Text string `json:"text"`
	Lost bool   `json:"lost,omitempty"` // it was sent, and never received

	Clock    int `json:"clock"`              // of the event, or of the sending
	Received int `json:"received,omitempty"` // of the receipt
}

// trace keeps a history. Its methods may be called from any goroutine.
type trace struct {
	mu      sync.Mutex
	entries []Entry
}

func (t *trace) addEntry(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, e)
}

// addEvent keeps that a process did something by itself.
func (t *trace) addEvent(process, text string) { t.addEntry(Entry{From: process, Text: text}) }

// addMessage keeps that a message was sent and received.
func (t *trace) addMessage(from, to, text string) { t.addEntry(Entry{From: from, To: to, Text: text}) }

// addLoss keeps that a message was sent and never received.
func (t *trace) addLoss(from, to, text string) {
	t.addEntry(Entry{From: from, To: to, Text: text, Lost: true})
}

// entriesBetween returns the history of the given processes, with the numbers
// of their clocks. Messages from and to others are left out.
func (t *trace) entriesBetween(processes []string) []Entry {
	t.mu.Lock()
	defer t.mu.Unlock()

	var out []Entry
	clocks := map[string]int{}
	for _, e := range t.entries {
		if !slices.Contains(processes, e.From) || e.To != "" && !slices.Contains(processes, e.To) {
			continue
		}
		clocks[e.From]++
		e.Clock = clocks[e.From]
		if e.To != "" && !e.Lost {
			clocks[e.To] = max(clocks[e.To], e.Clock) + 1
			e.Received = clocks[e.To]
		}
		out = append(out, e)
	}
	return out
}
