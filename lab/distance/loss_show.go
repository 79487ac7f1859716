package distance

import (
	"fmt"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

const (
	barsMissing = "missing"
	barsExtra   = "too many"
)

func (l loss) emptyChart() plot.Chart {
	c := plot.Chart{
		Title: "What became of messages whose request, answer or server was lost",
		X:     plot.Axis{Name: "how phone and server deal with it"},
		Y:     plot.Axis{Name: fmt.Sprintf("of %d messages", int(faults)*l.commands), End: float64(faults) * float64(l.commands) * l.percent / 100},
	}

	var bars []plot.Bar
	for w := range ways {
		bars = append(bars, plot.Bar{Name: w.String(), Group: barsMissing}, plot.Bar{Name: w.String(), Group: barsExtra})
	}
	c.Panels = []plot.Panel{{Bars: bars}}
	return c
}

// sumOutcomes adds up what one way made of all kinds of faults.
func (f lossFigures) sumOutcomes(w way) (sum outcome) {
	for _, o := range f.effects[w] {
		sum.Commands += o.Commands
		sum.Acked += o.Acked
		sum.Arrivals += o.Arrivals
		sum.Faults += o.Faults
		sum.Effects += o.Effects
		sum.Once += o.Once
		sum.Missing += o.Missing
		sum.Extra += o.Extra
		sum.Unkept += o.Unkept
	}
	return sum
}

// tcpWait is what a lost packet costs at least, in ms, above the way there: the
// retransmission timeout of Linux (RFC 6298).
const tcpWait = 200

func (l loss) judgeClaims(f lossFigures) []finding.Claim {
	never, again, kept := f.sumOutcomes(neverAgain), f.sumOutcomes(newIDs), f.sumOutcomes(idInStore)
	lost := f.effects[neverAgain][lostRequest].Faults

	worst := f.tcp[len(f.tcp)-1]
	gone, bound := int64(0), tcpWait+2*toMilliseconds(l.delay)
	for _, t := range f.tcp {
		gone += t.Lost
	}

	return []finding.Claim{
		{Text: "no retry: at most once", Law: "missing = lost requests", Source: "Spector 1982", Exact: true,
			Want: fmt.Sprintf("%d, 0 too many", lost), Got: fmt.Sprintf("%d, %d", never.Missing, never.Extra), Holds: never.Missing == lost && never.Extra == 0},
		{Text: "retries: at least once", Law: "effects = arrivals", Source: "Birrell, Nelson 1984", Exact: true,
			Want: fmt.Sprint(again.Arrivals), Got: fmt.Sprintf("%d of %d", again.Effects, again.Acked),
			Holds: again.Effects == again.Arrivals && again.Unkept == 0},
		{Text: "id kept with the effect: once", Law: "effects = messages", Source: "Saltzer et al. 1984", Exact: true,
			Want: "0 too many", Got: fmt.Sprint(kept.Extra), Holds: kept.Extra == 0 && kept.Unkept == 0 && kept.Acked > 0},
		{Text: "TCP loses nothing, it waits", Law: "RTO >= 200 ms", Source: "RFC 6298",
			Want: fmt.Sprintf("0, >= %.0f", bound), Got: fmt.Sprintf("%d, p99 %.0f ms", gone, worst.P99), Holds: gone == 0 && worst.Resent > 0 && worst.P99 >= bound},
	}
}

func (l loss) buildResult(f lossFigures, parts []finding.Part) finding.Result {
	return finding.Result{Seen: l.seenOption(f), Table: l.buildTable(f), Detail: l.buildDetail(f), Chart: l.buildChart(f), Claims: l.judgeClaims(f), Notice: l.wordNotices(f), Parts: parts,
		Figures: map[string]any{"effects": f.effects, "tcp": f.tcp}}
}

// seenOption returns which option came true.
func (l loss) seenOption(f lossFigures) int {
	switch again, memory := f.sumOutcomes(newIDs), f.sumOutcomes(idInMemory); {
	case again.Extra == 0:
		return 0
	case memory.Extra == 0:
		return 1
	case f.sumOutcomes(idInStore).Extra == 0:
		return 2
	}
	return -1
}

func (l loss) buildTable(f lossFigures) finding.Table {
	t := finding.Table{Columns: []string{"missing / too many, after a"}}
	for k := range faults {
		t.Columns = append(t.Columns, k.String())
	}
	t.Columns = append(t.Columns, "once of all")

	for w := range ways {
		row := []string{w.String()}
		for _, o := range f.effects[w] {
			row = append(row, fmt.Sprintf("%d / %d", o.Missing, o.Extra))
		}
		sum := f.sumOutcomes(w)
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%d of %d", sum.Once, sum.Commands)))
	}

	for _, x := range f.tcp {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("TCP, %g %% lost", x.Loss), fmt.Sprintf("p50 %.0f ms", x.P50), fmt.Sprintf("p99 %.0f ms", x.P99),
			fmt.Sprintf("%d resent", x.Resent), fmt.Sprintf("%d of %d", x.Sent-x.Lost, x.Sent)})
	}
	return t
}

func (l loss) buildDetail(f lossFigures) finding.Table {
	t := finding.Table{Columns: []string{"way", "fault", "messages", "faults", "arrivals", "acked", "effects", "missing", "too many"}}
	for w := range ways {
		for _, o := range f.effects[w] {
			t.Rows = append(t.Rows, []string{o.Way, o.Fault, fmt.Sprint(o.Commands), fmt.Sprint(o.Faults), fmt.Sprint(o.Arrivals), fmt.Sprint(o.Acked),
				fmt.Sprint(o.Effects), fmt.Sprint(o.Missing), fmt.Sprint(o.Extra)})
		}
	}
	return t
}

func (l loss) buildChart(f lossFigures) plot.Chart {
	c := l.emptyChart()
	for w := range ways {
		sum := f.sumOutcomes(w)
		c.Panels[0].Bars[2*w].Height, c.Panels[0].Bars[2*w+1].Height = float64(sum.Missing), float64(sum.Extra)
	}
	return c
}

func (l loss) wordNotices(f lossFigures) []string {
	kept, crash, answer := f.sumOutcomes(idInStore), f.effects[idInMemory][crashBetween], f.effects[idInMemory][lostAnswer]
	worst := f.tcp[len(f.tcp)-1]

	first := fmt.Sprintf("Ids in memory mend %d lost answers (%d too many) and not %d crashes (%d too many).",
		answer.Faults, answer.Extra, crash.Faults, crash.Extra)
	second := fmt.Sprintf("With the id in the store %d of %d were there once; %d were given up, unanswered, after %d tries.",
		kept.Once, kept.Commands, kept.Commands-kept.Acked, 1+l.retries)
	third := fmt.Sprintf("TCP turns loss into lateness: at %g %% p50 is %.0f ms, p99 %.0f; what follows a lost packet waits too.",
		worst.Loss, worst.P50, worst.P99)
	return []string{first, second, third}
}
