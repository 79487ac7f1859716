package races

import (
	"fmt"
	"strings"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// words tell the same runs as rides or as a shop's stock.
type words struct{ counted, seekers, things, twice string }

func wordsFor(story string) words {
	if story == "shop" {
		return words{counted: "sales", seekers: "orders", things: "items", twice: "sold twice"}
	}
	return words{counted: "rides", seekers: "riders", things: "drivers", twice: "promised twice"}
}

// raceTable has two rows for each place: the broken ways, then the repaired.
func raceTable(f raceFigures, w words) finding.Table {
	t := finding.Table{Columns: []string{"what", "how", "seen"}}
	for _, place := range []string{"memory", "Redis", "SQL"} {
		for _, repaired := range []bool{false, true} {
			var how, kept []string
			for _, c := range f.Counters {
				if c.Place == place && c.Repaired == repaired {
					how, kept = append(how, c.How), append(kept, fmt.Sprint(c.Kept))
				}
			}
			t.Rows = append(t.Rows, []string{fmt.Sprintf("%d %s, %s", f.Updates, w.counted, place), strings.Join(how, "; "), strings.Join(kept, "; ") + " kept"})
		}
	}

	for _, repaired := range []bool{false, true} {
		var how, twice []string
		for _, b := range f.Bookings {
			if b.Repaired == repaired {
				how, twice = append(how, b.How), append(twice, fmt.Sprint(b.Twice))
			}
		}
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%d %s", cars, w.things), fmt.Sprintf("%d %s: %s", requests, w.seekers, strings.Join(how, "; ")),
			strings.Join(twice, "; ") + " " + w.twice})
	}
	return t
}

const (
	memoryPanel  = "memory: updates lost"
	serverPanel  = "Redis and SQL: updates lost"
	bookingPanel = "drivers promised twice"
)

func lostPercent(c counterSeen) float64  { return 100 * float64(updates-c.Kept) / updates }
func twicePercent(b bookingSeen) float64 { return 100 * float64(b.Twice) / cars }

// barHeight returns the height of a counter's bar.
func (f raceFigures) barHeight(i int) (h float64) {
	if i < len(f.Counters) {
		h = lostPercent(f.Counters[i])
	}
	return h
}

// raceChart shows the harm of each way, in percent. Without figures it is the
// empty chart.
func raceChart(f raceFigures) plot.Chart {
	memory, servers, bookings := plot.Panel{Name: memoryPanel}, plot.Panel{Name: serverPanel}, plot.Panel{Name: bookingPanel}
	for i, name := range []string{"no lock", "mutex", "semaphore", "CAS", "owner", "GET, SET", "INCR", "UPDATE", "n = n + 1", "version ="} {
		panel := &memory
		if i >= 5 {
			panel = &servers
		}
		panel.Bars = append(panel.Bars, plot.Bar{Name: name, Height: f.barHeight(i)})
	}

	for i, name := range []string{"look", "look twice", "reserve", "unique index"} {
		bar := plot.Bar{Name: name}
		if i < len(f.Bookings) {
			bar.Height = twicePercent(f.Bookings[i])
		}
		bookings.Bars = append(bookings.Bars, bar)
	}
	return plot.Chart{X: plot.Axis{Name: "how it is done"}, Y: plot.Axis{Name: "harm, %", End: 100}, Panels: []plot.Panel{memory, servers, bookings}}
}

// judgeRaces judges what a run counted.
func judgeRaces(f raceFigures) []finding.Claim {
	claims := []finding.Claim{f.judgeLosses(), f.judgeRepairs(), f.judgeBooking()}
	if f.WindowMs > 0 { // without a wait the dispatchers may never meet
		claims = append(claims, f.judgeLooking())
	}
	return claims
}

// judgeLosses: with one worker nothing may get lost. With several, updates must
// get lost wherever reading and writing lie apart: in memory only by a wait, on
// a server by the way to it alone.
func (f raceFigures) judgeLosses() finding.Claim {
	c := finding.Claim{Text: "read, wait, write loses", Law: "lost update (P4)", Source: "Berenson 1995", Exact: true, Want: "> 0 each", Holds: true}
	places := []string{"memory", "Redis", "SQL"}
	switch {
	case f.Workers == 1:
		c.Text, c.Law, c.Want = "one worker alone loses", "no two at once", "0 each"
	case f.WindowMs == 0:
		c.Text, c.Law, places = "the way to Redis and SQL is window enough", "lost update (P4)", places[1:]
	}

	var got []string
	for _, place := range places {
		seen := f.brokenCounter(place)
		lost := f.Updates - seen.Kept
		got = append(got, fmt.Sprint(lost))
		if f.Workers == 1 {
			c.Holds = c.Holds && lost == 0 && seen.Linearizable
		} else {
			c.Holds = c.Holds && lost > 0 && !seen.Linearizable
		}
	}
	c.Got = strings.Join(got, ", ")
	return c
}

func (f raceFigures) judgeRepairs() finding.Claim {
	all, good := 0, 0
	for _, c := range f.Counters {
		if !c.Repaired {
			continue
		}
		if all++; c.Kept == f.Updates && c.Linearizable {
			good++
		}
	}
	return finding.Claim{Text: fmt.Sprintf("each repair keeps all %d", f.Updates), Law: "linearizable", Source: "Herlihy, Wing 1990",
		Exact: true, Want: fmt.Sprintf("%d of %d", all, all), Got: fmt.Sprintf("%d of %d", good, all), Holds: all > 0 && good == all}
}

func (f raceFigures) judgeLooking() finding.Claim {
	c := finding.Claim{Text: "looking once, or twice, double-books", Law: "check, then act", Source: "Bishop 1996", Exact: true,
		Want: "> 0 each", Holds: true}
	var got []string
	for _, b := range f.Bookings {
		if !b.Repaired {
			got = append(got, fmt.Sprint(b.Twice))
			c.Holds = c.Holds && b.Twice > 0
		}
	}
	c.Got = strings.Join(got, ", ")
	return c
}

func (f raceFigures) judgeBooking() finding.Claim {
	c := finding.Claim{Text: "reserve, unique index double-book none", Law: "act in one step", Source: "Herlihy 1991", Exact: true,
		Want: "0 each", Holds: true}
	var got []string
	for _, b := range f.Bookings {
		if b.Repaired {
			got = append(got, fmt.Sprint(b.Twice))
			c.Holds = c.Holds && b.Twice == 0
		}
	}
	c.Got = strings.Join(got, ", ")
	return c
}

// noticeRaces words the figures.
func noticeRaces(f raceFigures, w words) []string {
	memory, redis := f.brokenCounter("memory"), f.brokenCounter("Redis")
	first := fmt.Sprintf("Memory kept %d of %d, Redis %d: %d workers read the same number, and write the same one.", memory.Kept, f.Updates, redis.Kept, f.Workers)
	if memory.Kept == f.Updates {
		first = fmt.Sprintf("Memory lost none of %d, Redis %d: a race that a test in memory does not find can still be there.", f.Updates, f.Updates-redis.Kept)
	}

	second := "Some order of the updates explains what each worker saw: this run shows no mistake in memory."
	if steps := memory.Contradiction; len(steps) > 0 {
		var parts []string
		for _, s := range steps {
			parts = append(parts, s.String())
		}
		second = fmt.Sprintf("No order explains these %d of %d updates: %s.", len(steps), f.Updates, strings.Join(parts, "; "))
	}
	return []string{first, second, f.noticeLooking(w)}
}

func (f raceFigures) noticeLooking(w words) string {
	once, again := f.Bookings[0].Twice, f.Bookings[1].Twice
	compared := "as bad"
	switch {
	case again > once:
		compared = "worse"
	case again < once:
		compared = "still wrong"
	}
	if once == 0 && again == 0 {
		return fmt.Sprintf("0 %s %s, looking once or twice: without a wait, too, a test does not find it.", w.things, w.twice)
	}
	return fmt.Sprintf("%d %s %s; with a second look %d, %s: it is old, too, when the act comes.", once, w.things, w.twice, again, compared)
}
