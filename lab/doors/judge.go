package doors

import (
	"fmt"

	"github.com/ridehail/ridehail/lab/finding"
)

// Places of doors in the order of the table.
const (
	slowPoll   = 0
	quickPoll  = 2
	longPoll   = 3
	stream     = 4
	socketJSON = 5
	socket     = 6
)

// The bounds of what is claimed.
const (
	likeSocket = 1.25 // at most so many times the bytes is "as good as"
	postTimes  = 4    // at least so many times the bytes is what decides
)

// judgeDoors says which laws held.
func judgeDoors(all []Door) []finding.Claim {
	slow, sse, json, best := all[slowPoll], all[stream], all[socketJSON], all[socket]
	down, up := ratio(sse.BytesDown, json.BytesDown), ratio(slow.BytesUp, best.BytesUp)
	return []finding.Claim{
		{Text: "polling every 2 s shows", Law: "one a poll at most", Source: "pigeonhole", Exact: true,
			Want: fmt.Sprintf("<= %d of %d", slow.Requests, slow.Published), Got: fmt.Sprint(slow.Shown), Holds: slow.Shown <= slow.Requests},
		{Text: "its picture's mean age", Law: "interval / 2", Source: "Kaul, Yates, Gruteser 2012",
			Want: fmt.Sprintf(">= %.1f s", slow.Every/2), Got: fmt.Sprintf("%.2f s", slow.AgeMean), Holds: slow.AgeMean >= slow.Every/2},
		{Text: "down, bytes of SSE to WebSocket, JSON", Law: "headers once", Source: "RFC 6455", Exact: true,
			Want: fmt.Sprintf("<= %.2fx", likeSocket), Got: fmt.Sprintf("%.2fx", down), Holds: down > 0 && down <= likeSocket},
		{Text: "up, bytes of a POST to a WebSocket's frame", Law: "headers each time", Source: "RFC 9112", Exact: true,
			Want: fmt.Sprintf(">= %dx", postTimes), Got: fmt.Sprintf("%.1fx", up), Holds: up >= postTimes},
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Thresholds of what a person would call "far".
const far = 2

// seenDoors returns the option that came true.
func seenDoors(all []Door) int {
	slow, sse, json, best := all[slowPoll], all[stream], all[socketJSON], all[socket]
	switch {
	case ratio(sse.BytesDown, json.BytesDown) >= far:
		return 0
	case ratio(sse.AgeMean, best.AgeMean) >= far:
		return 2
	case ratio(sse.BytesUp, best.BytesUp) >= postTimes:
		return 1
	case slow.AgeMean < far*best.AgeMean && slow.Missed() < .1:
		return 3
	}
	return finding.NoGuess
}

// doorsTable is what people read, a row for each door.
func doorsTable(all []Door) finding.Table {
	t := finding.Table{Columns: []string{"door", "missed", "age mean", "worst", "requests", "B down", "us down", "B up", "us up"}}
	for _, d := range all {
		t.Rows = append(t.Rows, []string{d.Name, formatShare(d.Missed()), formatSeconds(d.AgeMean), formatSeconds(d.AgeWorst), fmt.Sprint(d.Requests),
			fmt.Sprintf("%.0f", d.BytesDown), fmt.Sprintf("%.0f", d.CPUDown), fmt.Sprintf("%.0f", d.BytesUp), fmt.Sprintf("%.0f", d.CPUUp)})
	}
	return t
}

func formatShare(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

func formatSeconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

// noticeDoors words the figures.
func noticeDoors(all []Door) []string {
	slow, quick, sse, json, best := all[slowPoll], all[quickPoll], all[stream], all[socketJSON], all[socket]
	return []string{
		fmt.Sprintf("Polling at 2 s missed %s; at 0.2 s %s, but asked %.1f times and took %.0f B for each position.",
			formatShare(slow.Missed()), formatShare(quick.Missed()), ratio(float64(quick.Requests), float64(quick.Shown)), quick.BytesDown),
		fmt.Sprintf("Down: SSE %.0f B and %.2f s old, a WebSocket in JSON %.0f B and %.2f s, in protobuf %.0f B.",
			sse.BytesDown, sse.AgeMean, json.BytesDown, json.AgeMean, best.BytesDown),
		fmt.Sprintf("Up: a POST on a connection kept alive %.0f B and %.0f us, a WebSocket in protobuf %.0f B and %.0f us.",
			sse.BytesUp, sse.CPUUp, best.BytesUp, best.CPUUp),
	}
}
