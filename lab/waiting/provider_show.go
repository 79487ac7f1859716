package waiting

import (
	"fmt"
	"math"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
)

// measureBacklog fills in what the looks at the backlog say.
func (f *outageFigures) measureBacklog(p outagePlan) {
	f.Empty = -1
	for i, at := range f.backlog {
		f.Top = max(f.Top, int(at.Y))
		if i > 0 {
			before := f.backlog[i-1]
			f.Area += (at.X - before.X) * (at.Y + before.Y) / 2
		}

		switch after := at.X - p.outageTo().Seconds(); {
		case at.Y > p.underWay():
			f.Empty = -1
		case f.Empty < 0 && after >= 0:
			f.Empty = after
		}
	}
}

// poisonLetters returns how many poison jobs have exactly one dead letter, and
// how many letters there are.
func (f outageFigures) poisonLetters() (one, all int) {
	for _, n := range f.Letters {
		all += n
	}
	for i := range poisonJobs {
		if f.Letters[poisonJob(i)] == 1 {
			one++
		}
	}
	return one, all
}

// judgeProvider returns the claims. Queue is what ran by the app's ways, and
// without what ran with a reference per try.
func judgeProvider(queue, without outageFigures) []finding.Claim {
	one, letters := queue.poisonLetters()
	twice := fmt.Sprintf("%d > %d without", without.Taken, without.Booked)
	hasTwice := without.Taken > without.Booked
	if without.Lost == 0 { // then nothing was tried again
		twice, hasTwice = "as many", true
	}

	return []finding.Claim{
		{Text: "queue: rides refused", Law: "commit, tell later", Source: "Helland 2007", Exact: true,
			Want: "0", Got: fmt.Sprintf("%d of %d", queue.Refused, queue.Rides), Holds: queue.Refused == 0},
		{Text: "taken = charges", Law: "a reference pays once", Source: "Helland 2012", Exact: true,
			Want: twice, Got: fmt.Sprintf("%d = %d", queue.Taken, queue.Booked),
			Holds: queue.Taken == queue.Booked && queue.Booked == queue.Rides && hasTwice},
		{Text: "dead letters of poison jobs", Law: "one each", Source: "Hohpe 2003", Exact: true,
			Want: fmt.Sprint(poisonJobs), Got: fmt.Sprintf("%d of %d", one, letters), Holds: one == poisonJobs && letters == poisonJobs},
		{Text: "backlog x time", Law: "L = rate x wait", Source: "Little 1961",
			Want: fmt.Sprintf("waits: %.3g ride s +-20 %%", queue.Waits), Got: fmt.Sprintf("%.3g", queue.Area),
			Holds: math.Abs(queue.Area-queue.Waits) <= .2*queue.Waits+.1*tick.Seconds()*float64(queue.Rides)},
	}
}

// seenProvider returns the option that came true of the queue.
func seenProvider(q outageFigures) int {
	switch {
	case q.Refused > 0:
		return 0
	case q.Taken > q.Booked:
		return 1
	case q.Booked < q.Rides:
		return 3
	}
	return 2
}

// buildResult returns the finding of a run's figures.
func (p outagePlan) buildResult(figures []outageFigures) finding.Result {
	out := finding.Result{Chart: p.emptyChart(), Figures: figures, Claims: judgeProvider(figures[byQueue], figures[perTry]),
		Seen: seenProvider(figures[byQueue]), Notice: p.wordNotices(figures), Detail: buildDetail(figures),
		Table: finding.Table{Columns: []string{"way", "refused", "median wait", "longest", "taken", "charges", "tries", "letters", "backlog"}}}
	for i, f := range figures {
		_, letters := f.poisonLetters()
		took := quantile.Sort(f.took)
		row := []string{f.Name, fmt.Sprintf("%d of %d", f.Refused, f.Rides), formatMillis(took.At(.5)), formatMillis(took.Max()),
			fmt.Sprint(f.Taken), fmt.Sprint(f.Booked), "", "", ""}
		if i != direct {
			row[6], row[7], row[8] = fmt.Sprintf("%.1f each", float64(f.Delivered)/float64(max(1, f.Jobs))), fmt.Sprint(letters), fmt.Sprint(f.Top)
		}

		out.Table.Rows = append(out.Table.Rows, row)
		out.Parts = append(out.Parts, finding.Part{Name: "provider for " + f.Name, Where: f.addr,
			Count: fmt.Sprintf("%d requests, %d jobs", f.calls, f.Jobs)})
	}

	curves := out.Chart.Panels[0].Curves
	curves[1].Points, curves[2].Points = figures[byQueue].backlog, figures[ackFirst].backlog
	curves[3].Points = figures[direct].refusals
	return out
}

// buildDetail is a table of the backlogs by time.
func buildDetail(figures []outageFigures) finding.Table {
	out := finding.Table{Columns: []string{"seconds", curveQueue, curveAckFirst}}
	for i, at := range figures[byQueue].backlog {
		if i >= len(figures[ackFirst].backlog) {
			break
		}
		out.Rows = append(out.Rows, []string{fmt.Sprintf("%.2f", at.X), fmt.Sprint(at.Y), fmt.Sprint(figures[ackFirst].backlog[i].Y)})
	}
	return out
}

func (p outagePlan) wordNotices(figures []outageFigures) []string {
	d, q, t, a := figures[direct], figures[byQueue], figures[perTry], figures[ackFirst]
	empty := fmt.Sprintf("%.1f s", q.Empty)
	if q.Empty < 0 {
		empty = "later than this run,"
	}
	return []string{
		fmt.Sprintf("Waiting couples: direct refused %d of %d rides, %d of them after the money was taken; the queue %d.",
			d.Refused, d.Rides, max(0, d.Taken-d.Booked), q.Refused),
		fmt.Sprintf("The queue moves the wait: %d rides at most (law %.0f), few again %s after it (law %.1f s).",
			q.Top, p.backlogTop(), empty, p.shrinkTime().Seconds()),
		fmt.Sprintf("A reference per try took %d fares too many; acknowledged first, %d rides were never charged.",
			max(0, t.Taken-t.Booked), a.Rides-a.Refused-a.Booked),
	}
}
