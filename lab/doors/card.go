package doors

import (
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/lab/finding"
)

// Card says which mechanism serves which message, with the figures of a run.
type Card []Decision

// Decision is one row: what the app does, why, and what would change it.
type Decision struct {
	What      string `json:"what"`
	Mechanism string `json:"mechanism"`
	Figures   string `json:"figures"`
	ChangesIf string `json:"would_change_if"`
}

// newCard fills the card from a run's figures.
func newCard(all []Door, o Others) Card {
	slow, sse, best := all[slowPoll], all[stream], all[socket]
	return Card{
		{"position, up", "WebSocket, protobuf", fmt.Sprintf("%.0f B; a POST %.0f B", best.BytesUp, sse.BytesUp), "phones send one a minute: POST"},
		{"position, down", "WebSocket, newest wins", fmt.Sprintf("%.2f s old; polled %.2f s", best.AgeMean, slow.AgeMean), "phones only watch: SSE"},
		{"trip event", "commit, number, socket", fmt.Sprintf("%.0f ms; gaps %d of %d", o.EventAge, o.EventGaps, o.Events), "losing one did no harm: topic"},
		{"offer", "direct message", fmt.Sprintf("%d, valid %.0f s", o.Offers, o.OfferValid), "it outlives its driver: queue"},
		{"charge", "queue", fmt.Sprintf("%d waited, %d done", o.Jobs, o.JobsDone), "the rider waits for it: call"},
		{"route", "RPC with a deadline", fmt.Sprintf("%.1f ms, %d of %d by road", o.RouteTime, o.RoutesByRoad, o.Routes), "it may come later: queue"},
	}
}

var cardColumns = []string{"what", "mechanism", "this run", "would change if"}

// buildTable is the card on a terminal.
func (c Card) buildTable() finding.Table {
	t := finding.Table{Columns: cardColumns}
	for _, d := range c {
		t.Rows = append(t.Rows, d.cells())
	}
	return t
}

func (d Decision) cells() []string { return []string{d.What, d.Mechanism, d.Figures, d.ChangesIf} }

// Markdown is the card as a table for a document.
func (c Card) Markdown() string {
	var b strings.Builder
	writeRow(&b, cardColumns)
	b.WriteString("|" + strings.Repeat("---|", len(cardColumns)) + "\n")
	for _, d := range c {
		writeRow(&b, d.cells())
	}
	return b.String()
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
