package memory

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// The claims' factors.
const (
	memoryBelowChannel = 3
	channelBelowKernel = 3
	commitAboveSocket  = 5
	alikeAway          = 1.5
)

func ladderResult(v finding.Values, timings []timing, parts []finding.Part) finding.Result {
	bars := make([]plot.Bar, len(timings))
	for i, t := range timings {
		bars[i] = plot.Bar{Name: t.name, Group: string(t.band), Height: inMicroseconds(t.cost[0])}
	}

	return finding.Result{
		Seen:   ladderSeen(timings),
		Table:  ladderTable(v, timings, shownRungs(timings)),
		Detail: ladderTable(v, timings, nil),
		Chart:  ladderChart(v, bars),
		Claims: judgeLadder(v, timings),
		Notice: ladderNotice(v, timings),
		Parts:  parts,
	}
}

// ladderSeen returns the option that is nearest, on a logarithmic scale, to
// what a socket costs in locks.
func ladderSeen(timings []timing) int {
	times := float64(costOf(timings, tcpRung)) / float64(costOf(timings, mutexRung))
	return min(3, max(0, int(math.Round(math.Log10(times/5)))))
}

// shownRungs returns the rungs in the table for people. A person's own servers
// take the place of others.
func shownRungs(timings []timing) []string {
	shown := []string{snapRung, mutexRung, appRung, ownerRung, tcpRung, httpRung, redisRung, commitRung}
	for _, t := range timings {
		switch t.name {
		case realRedisRung:
			shown[6] = t.name
		case postgresRung:
			shown[0] = t.name
		}
	}
	return shown
}

// ladderTable has the rungs that are named, or all of them without names.
func ladderTable(v finding.Values, timings []timing, names []string) finding.Table {
	out := finding.Table{Columns: []string{"one answer by", "passes", "costs", "in locks", formatBytes(v.Int("bytes")),
		fmt.Sprintf("%g ms away", v.Number("away"))}}
	lock := costOf(timings, mutexRung)
	for _, t := range timings {
		if names != nil && !slices.Contains(names, t.name) {
			continue
		}
		large, away := "", ""
		if len(t.cost) > 1 {
			large = formatCost(t.cost[1])
		}
		if t.away > 0 {
			away = formatCost(t.away)
		}
		out.Rows = append(out.Rows, []string{t.name, string(t.band), formatCost(t.cost[0]),
			formatTimes(t.cost[0], lock), large, away})
	}
	return out
}

// judgeLadder holds the timings to the claims.
func judgeLadder(v finding.Values, timings []timing) []finding.Claim {
	memory, channel := slowestOf(timings, inMemory), costOf(timings, ownerRung)
	kernel, commit, socket := fastestOf(timings, byKernel), costOf(timings, commitRung), costOf(timings, tcpRung)
	out := []finding.Claim{
		compareCosts("a channel costs over 3 reads", "2 goroutine switches", "Hoare 1978", channel, memory, memoryBelowChannel),
		compareCosts("a socket costs over 3 channels", "2 system calls each way", "Dean 2009", kernel, channel, channelBelowKernel),
		compareCosts("a commit costs over 5 sockets", "the disk must answer", "Gray 1992", commit, socket, commitAboveSocket),
	}
	if least, most := awayRange(timings); least > 0 {
		out = append(out, finding.Claim{Text: fmt.Sprintf("%g ms away all cost alike", v.Number("away")),
			Law: "distance + own cost", Source: "Dean 2009", Want: fmt.Sprintf("< %gx", alikeAway),
			Got:   fmt.Sprintf("%.2fx", float64(most)/float64(least)),
			Holds: least >= v.Milliseconds("away") && float64(most) < alikeAway*float64(least)})
	}
	return out
}

func compareCosts(text, law, source string, dear, cheap time.Duration, factor float64) finding.Claim {
	times := float64(dear) / float64(cheap)
	return finding.Claim{Text: text, Law: law, Source: source, Want: fmt.Sprintf("> %gx", factor),
		Got: formatTimes(dear, cheap) + "x", Holds: times > factor}
}

func ladderNotice(v finding.Values, timings []timing) []string {
	lock, tcp, http, commit := costOf(timings, mutexRung), costOf(timings, tcpRung), costOf(timings, httpRung), costOf(timings, commitRung)
	snapshot, locked := timingOf(timings, snapRung), timingOf(timings, mutexRung)
	out := []string{
		fmt.Sprintf("In the time of one commit: %s reads under a lock, or %s questions over a socket.",
			formatTimes(commit, lock), formatTimes(commit, tcp)),
		fmt.Sprintf("%s: %s for a pointer to a snapshot, %s for a copy under a lock. Messages pay per byte.",
			formatBytes(v.Int("bytes")), formatCost(snapshot.cost[1]), formatCost(locked.cost[1])),
	}
	if least, most := awayRange(timings); least > 0 {
		out = append(out, fmt.Sprintf("Here HTTP costs %sx a bare socket; %g ms away all take %s to %s: save round trips.",
			formatTimes(http, tcp), v.Number("away"), formatCost(least), formatCost(most)))
	}
	return out
}

func timingOf(timings []timing, name string) timing {
	i := slices.IndexFunc(timings, func(t timing) bool { return t.name == name })
	return timings[i]
}

// costOf returns what one position costs by a rung.
func costOf(timings []timing, name string) time.Duration { return timingOf(timings, name).cost[0] }

func costsOfBand(timings []timing, b band) (out []time.Duration) {
	for _, t := range timings {
		if t.band == b {
			out = append(out, t.cost[0])
		}
	}
	return out
}

func slowestOf(timings []timing, b band) time.Duration { return slices.Max(costsOfBand(timings, b)) }
func fastestOf(timings []timing, b band) time.Duration { return slices.Min(costsOfBand(timings, b)) }

// awayRange returns the least and the most that an answer over the line costs,
// or zeros when no rung was tried over it.
func awayRange(timings []timing) (least, most time.Duration) {
	for _, t := range timings {
		if t.away == 0 {
			continue
		}
		if most = max(most, t.away); least == 0 || t.away < least {
			least = t.away
		}
	}
	return least, most
}

// formatCost writes a duration with two or three digits.
func formatCost(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

func formatTimes(many, one time.Duration) string {
	times := roundToDigits(float64(many)/float64(one), 2)
	if times >= 10_000 {
		return fmt.Sprintf("%.0f,%03.0f", math.Floor(times/1000), math.Mod(times, 1000))
	}
	return fmt.Sprintf("%g", times)
}

func formatBytes(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// roundToDigits keeps so many digits that count.
func roundToDigits(v float64, digits int) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow10(digits - 1 - int(math.Floor(math.Log10(math.Abs(v)))))
	return math.Round(v*scale) / scale
}
