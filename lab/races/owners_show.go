package races

import (
	"fmt"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

func curveName(fenced bool) string {
	if fenced {
		return "with a fence"
	}
	return "without a fence"
}

func (f ownerFigures) roundsOf(fenced bool) []ownerRound {
	if fenced {
		return f.Fenced
	}
	return f.Unfenced
}

// staleWrites returns how many were accepted up to each round.
func (f ownerFigures) staleWrites(fenced bool) (out []int) {
	n := 0
	for _, r := range f.roundsOf(fenced) {
		if r.isStale() {
			n++
		}
		out = append(out, n)
	}
	return out
}

// ownerCount is what happened in the rounds with a short or a long stop.
type ownerCount struct{ rounds, takenOver, accepted, stale, wentBack, overlaps int }

// countRounds counts the rounds whose stop was longer than the lease, or not.
func (f ownerFigures) countRounds(fenced, long bool) (n ownerCount) {
	for _, r := range f.roundsOf(fenced) {
		if (r.PauseMs > f.LeaseMs) != long {
			continue
		}
		n.rounds++
		n.overlaps += r.Overlaps
		for counted, so := range map[*int]bool{&n.takenOver: r.TakenOver, &n.accepted: r.Accepted, &n.stale: r.isStale(), &n.wentBack: r.WentBack} {
			if so {
				*counted++
			}
		}
	}
	return n
}

// optionSeen returns which option came true: none when no stop was longer than
// the lease.
func (f ownerFigures) optionSeen() int {
	without, with := f.countRounds(false, true).stale, f.countRounds(true, true).stale
	switch {
	case f.countRounds(false, true).rounds == 0:
		return finding.NoGuess
	case without == 0:
		return 0
	case with == 0:
		return 1
	}
	return 2
}

func ownerTable(f ownerFigures) finding.Table {
	t := finding.Table{Columns: []string{"the store", "the stop", "rounds", "taken over", "late writes", "refused", "cursor went back"}}
	for _, fenced := range []bool{false, true} {
		for _, long := range []bool{false, true} {
			n, stop := f.countRounds(fenced, long), "within the lease"
			if long {
				stop = "past the lease"
			}
			t.Rows = append(t.Rows, []string{curveName(fenced), stop, fmt.Sprint(n.rounds), fmt.Sprint(n.takenOver), fmt.Sprint(n.stale),
				fmt.Sprint(n.rounds - n.accepted), fmt.Sprint(n.wentBack)})
		}
	}
	return t
}

// ownerChart shows how many late writes were taken up to each length of the
// stop, which is at most longest. Without rounds it is the empty chart.
func ownerChart(f ownerFigures, longest float64) plot.Chart {
	p := plot.Panel{Bands: []plot.Band{{From: 0, To: min(1, longest/f.LeaseMs), Name: "the lease lasts"}}}
	for _, fenced := range []bool{false, true} {
		c := plot.Curve{Name: curveName(fenced), Dots: true}
		for i, n := range f.staleWrites(fenced) {
			c.Points = append(c.Points, plot.Point{X: f.roundsOf(fenced)[i].PauseMs / f.LeaseMs, Y: float64(n)})
		}
		p.Curves = append(p.Curves, c)
	}
	return plot.Chart{X: plot.Axis{Name: "length of the stop, in leases", End: longest / f.LeaseMs},
		Y: plot.Axis{Name: "late writes taken", End: 4}, Panels: []plot.Panel{p}}
}

// judgeOwners judges what a run counted.
func judgeOwners(f ownerFigures) []finding.Claim {
	long, fenced, short, shortFenced := f.countRounds(false, true), f.countRounds(true, true), f.countRounds(false, false), f.countRounds(true, false)
	claim := func(text, law, source string, got, want int) finding.Claim {
		return finding.Claim{Text: text, Law: law, Source: source, Exact: true, Got: fmt.Sprint(got), Want: fmt.Sprint(want), Holds: got == want}
	}

	var claims []finding.Claim
	if long.rounds > 0 {
		claims = append(claims, claim("unfenced, each long stop writes late", "leases stop no one", "Kleppmann 2016", long.stale, long.rounds),
			claim("fenced, none does", "the store looks", "Kleppmann 2016", fenced.stale, 0))
	}
	claims = append(claims, claim("two leases at the same time", "one owner at a time", "Gray, Cheriton 1989",
		long.overlaps+fenced.overlaps+short.overlaps+shortFenced.overlaps, 0))
	if short.rounds > 0 {
		own := short.accepted - short.takenOver + shortFenced.accepted - shortFenced.takenOver
		claims = append(claims, claim("each short stop costs nothing", "a lease is a promise", "Gray, Cheriton 1989", own, short.rounds+shortFenced.rounds))
	}
	return claims
}

// noticeOwners words the figures.
func noticeOwners(f ownerFigures) []string {
	without, with, short := f.countRounds(false, true), f.countRounds(true, true), f.countRounds(false, false)
	first := fmt.Sprintf("No stop was longer than the lease, so another owner took over in %d of %d rounds.", short.takenOver, short.rounds)
	if without.rounds > 0 {
		first = fmt.Sprintf("%d of %d owners that slept past their lease wrote without a fence; the cursor went back %d times.", without.stale, without.rounds, without.wentBack)
	}
	return []string{
		first,
		fmt.Sprintf("The store that looks at the lease in the same statement refused %d late writes and took %d.", with.rounds-with.accepted, with.stale),
		fmt.Sprintf("A look at the clock before the write is no fence: in these %d rounds the stop came after it.", without.rounds+with.rounds+2*short.rounds),
	}
}
