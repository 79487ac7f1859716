package distance

import (
	"fmt"
	"math"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/lab/finding"
)

// medianAge returns how old what was shown was in the middle.
func (p positions) medianAge() float64 {
	var all []float64
	for _, s := range p.shown {
		all = append(all, s.age)
	}
	return quantile.Sort(all).At(.5)
}

// lastAge returns how old the position was that was shown last.
func (p positions) lastAge() float64 {
	if len(p.shown) == 0 {
		return 0
	}
	return p.shown[len(p.shown)-1].age
}

// ageSlope is how many seconds older the shown positions became each second:
// the line through all of them with the least squares.
func (p positions) ageSlope() float64 {
	var n, x, y, xx, xy float64
	for _, s := range p.shown {
		n, x, y, xx, xy = n+1, x+s.at, y+s.age, xx+s.at*s.at, xy+s.at*s.age
	}
	if spread := n*xx - x*x; spread > 0 {
		return (n*xy - x*y) / spread
	}
	return 0
}

// slopeWithin is how far the queue's growth may be from its law, in seconds
// each second.
const slopeWithin = 0.15

func (s slowPhone) judgeClaims(f slowPhoneFigures) []finding.Claim {
	median, slope := f.newest.medianAge(), f.queue.ageSlope()
	lost, twice := f.events.Lost+f.chat.Lost, f.events.Twice+f.chat.Twice
	return []finding.Claim{
		{Text: "newest wins stays young", Law: "(window + 1) / shows", Source: "Kung 1995",
			Want: fmt.Sprintf("<= %.0f ms", 1e3*s.ageBound()), Got: fmt.Sprintf("median %.0f ms", 1e3*median),
			Holds: len(f.newest.shown) > 0 && median <= s.ageBound()},
		{Text: "a queue grows old", Law: "(in - out) / in", Source: "Kleinrock 1976",
			Want: fmt.Sprintf("%.2f +- %.2f", s.ageGrowth(), slopeWithin), Got: fmt.Sprintf("%.2f s/s", slope),
			Holds: len(f.queue.shown) > 1 && math.Abs(slope-s.ageGrowth()) <= slopeWithin},
		{Text: "events, chat: none lost, none twice", Law: "each adds news", Source: "Saltzer 1984", Exact: true,
			Want: "0, 0", Got: fmt.Sprintf("%d, %d of %d", lost, twice, f.events.Sent+f.chat.Sent), Holds: lost == 0 && twice == 0},
	}
}

func (s slowPhone) buildResult(f slowPhoneFigures, parts []finding.Part) finding.Result {
	return finding.Result{Seen: s.seenOption(f), Table: s.buildTable(f), Chart: s.buildChart(f), Claims: s.judgeClaims(f), Notice: s.wordNotices(f), Parts: parts,
		Figures: map[string]any{"queue": f.queue, "newest_wins": f.newest, "events": f.events, "chat": f.chat,
			"chat_newest_wins": f.brokenChat, "queue_slope": f.queue.ageSlope(), "newest_wins_slope": f.newest.ageSlope()}}
}

// seenOption returns which option came true.
func (s slowPhone) seenOption(f slowPhoneFigures) int {
	queue, newest := f.queue.lastAge(), f.newest.medianAge()
	switch {
	case queue > 1.5*newest && f.queue.ageSlope() > .1:
		return 1
	case newest > 1.5*queue && newest > .1:
		return 2
	}
	return 0
}

func (s slowPhone) buildTable(f slowPhoneFigures) finding.Table {
	t := finding.Table{Columns: []string{"way", "sent", "shown", "overwritten", "newer", "lost", "median age", "last age"}}
	for _, row := range []struct {
		name string
		of   positions
	}{{"positions, queue", f.queue}, {"positions, newest wins", f.newest}} {
		shown := int64(len(row.of.shown))
		t.Rows = append(t.Rows, []string{row.name, fmt.Sprint(row.of.Sent), fmt.Sprint(shown), fmt.Sprint(row.of.Overwritten),
			fmt.Sprint(max(0, row.of.Sent-shown-row.of.Overwritten)), "0", fmt.Sprintf("%.0f ms", 1e3*row.of.medianAge()),
			fmt.Sprintf("%.0f ms", 1e3*row.of.lastAge())})
	}

	for _, row := range []struct {
		name string
		of   numbered
	}{{"trip events", f.events}, {"chat", f.chat}, {"chat, newest wins", f.brokenChat}} {
		t.Rows = append(t.Rows, []string{row.name, fmt.Sprint(row.of.Sent), fmt.Sprint(row.of.Sent - row.of.Lost), "", "", fmt.Sprint(row.of.Lost), "", ""})
	}
	return t
}

func (s slowPhone) buildChart(f slowPhoneFigures) plot.Chart {
	c := s.emptyChart()
	for i, of := range []positions{f.queue, f.newest} {
		for _, at := range of.shown {
			c.Panels[0].Curves[i+1].Points = append(c.Panels[0].Curves[i+1].Points, plot.Point{X: at.at, Y: at.age})
		}
	}
	return c
}

func (s slowPhone) wordNotices(f slowPhoneFigures) []string {
	queue, newest := f.queue.lastAge(), f.newest.medianAge()
	first := fmt.Sprintf("After %v the queue shows where the car was %.1f s ago, newest wins %.1f s ago.", s.lasts, queue, newest)
	second := fmt.Sprintf("The node overwrote %d of %d positions on purpose and says so in each frame (overwritten).", f.newest.Overwritten, f.newest.Sent)
	if f.newest.Overwritten == 0 {
		second = fmt.Sprintf("The phone keeps up: none of %d positions was overwritten.", f.newest.Sent)
	}

	third := fmt.Sprintf("Newest wins is wrong for what adds up: chat sent so lost %d of %d messages, the app's queue %d.",
		f.brokenChat.Lost, f.brokenChat.Sent, f.chat.Lost)
	return []string{first, second, third}
}
