package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/xray"
)

var (
	strong = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	wrong  = lipgloss.NewStyle().Foreground(lipgloss.Color("9"))
)

// mechanismColors are those of the page.
var mechanismColors = map[tracing.Mechanism]string{tracing.Socket: "#0072b2", tracing.Memory: "#009e73", tracing.RPC: "#cc79a7", tracing.PubSub: "#e69f00",
	tracing.Direct: "#d55e00", tracing.Queue: "#b8860b", tracing.Database: "#56b4e9", tracing.Code: "#999999", tracing.Person: "#777777"}

// partNames are the parts in words.
var partNames = map[tracing.Part]string{tracing.RiderPhone: "rider's phone", tracing.DriverPhone: "driver's phone", tracing.SharedState: "shared memory",
	tracing.JobQueue: "job queue", tracing.Provider: "payment provider", tracing.OtherNode: "node"}

// namesOther are the kinds whose node is not the one that recorded them.
var namesOther = []string{tracing.LookAround.Name, tracing.NodeGone.Name}

// nameIn names an end of a hop; a node by its name, where that is known.
func nameIn(h xray.Hop, p tracing.Part) string {
	switch {
	case p != tracing.OtherNode:
		return nameOf(p)
	case slices.Contains(namesOther, h.Name):
		return "other node"
	case h.Node != "":
		return "node " + strings.TrimPrefix(h.Node, "node-")
	}
	return nameOf(p)
}

func nameOf(p tracing.Part) string {
	if name, ok := partNames[p]; ok {
		return name
	}
	return string(p)
}

// Text shows a ride as a table, with colours. Of the positions it shows the
// first, or all of them.
func Text(r xray.Ride, all bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", strong.Render("trip "+r.Trip))
	at := time.UnixMicro(int64(r.RequestedAtMs * 1000)).Local()
	fmt.Fprintf(&b, "%s · requested %s · from %s to %s\n", r.State, at.Format("2006-01-02 15:04:05.000"), r.From, r.To)
	b.WriteString(formatNodes(r))
	b.WriteString(formatWaits(r))

	isShown := false
	var hidden []xray.Phase
	for _, p := range r.Phases {
		if p.Name == tracing.Position && isShown && !all {
			hidden = append(hidden, p)
			continue
		}
		isShown = isShown || p.Name == tracing.Position
		b.WriteString(formatPhase(p))
	}
	if len(hidden) > 0 {
		b.WriteString(formatHidden(hidden))
	}
	return b.String()
}

// formatNodes names the nodes, and those that did not answer.
func formatNodes(r xray.Ride) string {
	var known, missing []string
	for _, n := range r.Nodes {
		if n.Missing {
			missing = append(missing, n.Name)
			continue
		}
		text := fmt.Sprintf("%s: %d hops", n.Name, n.Hops)
		if n.Doubt > 0 {
			text += ", clock ± " + formatMicros(n.Doubt)
		}
		known = append(known, text)
	}
	text := "nodes · " + strings.Join(known, " · ") + "\n"
	if len(missing) > 0 {
		text += wrong.Render("missing · "+strings.Join(missing, ", ")+" did not answer: what they recorded is not here") + "\n"
	}
	return text
}

const (
	barWidth = 60
	// leastGap is the shortest time between phases that has a line. Shorter
	// ones only count.
	leastGap = xray.Micros(time.Millisecond)
)

// formatWaits shows where the time of a ride went.
func formatWaits(r xray.Ride) string {
	w := r.Waited
	shares := []struct {
		name  string
		took  xray.Micros
		color string
	}{{"people", w.People, "#777777"}, {"queues", w.Queue, "#e69f00"}, {"network", w.Network, "#0072b2"},
		{"disk", w.Disk, "#56b4e9"}, {"code", w.Code, "#009e73"}, {"unknown", w.Unknown, "#aa0000"}}

	var bar strings.Builder
	var words []string
	left := barWidth
	for _, s := range shares {
		if s.took <= 0 {
			continue
		}
		share := float64(s.took) / float64(r.Duration)
		width := min(left, max(1, int(share*barWidth)))
		left -= width
		style := lipgloss.NewStyle().Foreground(lipgloss.Color(s.color))
		bar.WriteString(style.Render(strings.Repeat("█", width)))
		words = append(words, fmt.Sprintf("%s %s %s (%.1f %%)", style.Render("█"), s.name, formatMicros(s.took), 100*share))
	}
	return fmt.Sprintf("\nwhere %s went\n%s\n%s\n", formatMicros(r.Duration), bar.String(), strings.Join(words, "  "))
}

func formatPhase(p xray.Phase) string {
	var b strings.Builder
	title := strings.ToUpper(string(p.Name))
	if p.Nth > 0 {
		title += fmt.Sprint(" ", p.Nth)
	}
	fmt.Fprintf(&b, "\n%s  %s", strong.Render(title), formatMicros(p.Duration))
	if p.Unknown > 0 {
		b.WriteString(faint.Render("  no hop explains " + formatMicros(p.Unknown)))
	}
	if p.BatchNote != "" {
		b.WriteString(faint.Render("  " + p.BatchNote))
	}
	b.WriteString("\n")
	for _, h := range p.Hops {
		b.WriteString(formatHop(h))
	}
	if p.Gap >= leastGap {
		fmt.Fprintf(&b, "  %s\n", faint.Render("… "+p.GapWhat+" "+formatMicros(p.Gap)))
	}
	return b.String()
}

// formatHop shows a hop in one line: when it began, its name, its mechanism, its
// ends, what it took, and what it alone took.
func formatHop(h xray.Hop) string {
	mechanism := lipgloss.NewStyle().Foreground(lipgloss.Color(mechanismColors[h.Mechanism])).Render(pad(string(h.Mechanism), 9))
	ends := nameIn(h, h.From)
	if h.To != h.From {
		ends += " → " + nameIn(h, h.To)
	}
	if !h.Seen {
		return fmt.Sprintf("  %11s  %s %s %s %s\n", "", wrong.Render(pad("not seen: "+h.Name, 27)), mechanism, pad(ends, 32), faint.Render(h.Reason))
	}

	text := fmt.Sprintf("  %11s  %s %s %s %11s", "+"+formatMicros(h.Began), pad(h.Name, 17), mechanism, pad(ends, 32), formatMicros(h.Duration))
	if h.Own != h.Duration {
		text += faint.Render(" (own " + formatMicros(h.Own) + ")")
	}
	if h.Doubt > 0 {
		text += faint.Render(" ± " + formatMicros(h.Doubt))
	}
	if h.Repeated {
		text += " again"
	}
	if h.Failed {
		text += " " + wrong.Render("failed: "+explainFailure(h))
	} else if h.Reason != "" {
		text += faint.Render(" " + h.Reason)
	}
	return text + "\n"
}

// explainFailure returns the code and the reason, once where they are the same.
func explainFailure(h xray.Hop) string {
	if h.Code == h.Reason {
		return h.Code
	}
	return strings.TrimSpace(h.Code + " " + h.Reason)
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
}

// formatHidden sums up positions.
func formatHidden(positions []xray.Phase) string {
	var durations []xray.Micros
	unwritten := 0
	for _, p := range positions {
		durations = append(durations, p.Duration)
		if slices.ContainsFunc(p.Hops, func(h xray.Hop) bool { return h.Name == tracing.PositionWritten.Name && !h.Seen }) {
			unwritten++
		}
	}
	slices.Sort(durations)
	return faint.Render(fmt.Sprintf("\n… %d more positions like the one above: %s in the middle, %s at most, %d overwritten; --all shows each",
		len(positions), formatMicros(durations[len(durations)/2]), formatMicros(durations[len(durations)-1]), unwritten)) + "\n"
}

// formatMicros formats a time for people.
func formatMicros(m xray.Micros) string {
	us := float64(m) / 1e3
	switch {
	case us < 10:
		return fmt.Sprintf("%.1f µs", us)
	case us < 1e4:
		return fmt.Sprintf("%.0f µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.1f ms", us/1e3)
	}
	return fmt.Sprintf("%.1f s", us/1e6)
}

// TripsText lists the trips that nodes keep.
func TripsText(k xray.Kept) string {
	if len(k.Trips) == 0 {
		return "No ride is kept. The next one appears here, if the node was started with --trace-ratio above 0.\n"
	}
	var b strings.Builder
	for _, t := range k.Trips {
		took := "goes on"
		if t.EndedMs > 0 {
			took = formatMicros(xray.Micros((t.EndedMs - t.BeganMs) * float64(time.Millisecond)))
		}
		began := time.UnixMicro(int64(t.BeganMs * 1000)).Local().Format(time.DateTime)
		fmt.Fprintf(&b, "%s  %s  %8s  %4d hops\n", t.ID, began, took, t.Hops)
	}
	fmt.Fprintf(&b, "%s\n", faint.Render(fmt.Sprintf("%d rides are kept in %.1f of %.0f MB. One hop by hop: ridehail xray TRIP",
		k.Kept, float64(k.Bytes)/(1<<20), float64(k.Limit)/(1<<20))))
	return b.String()
}
