// Package doors compares the ways in which positions can leave a driver's phone
// and reach a rider's: polling, long polling, server-sent events and sockets, in
// the same city at the same time. It ends with a card that says which mechanism
// serves which message.
package doors

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/lab/finding"
)

// The choices of what the table shows.
const (
	showTable = "table"
	showCard  = "card"
)

// Doors returns the experiment doors.
func Doors() finding.Experiment {
	return finding.Experiment{
		Name:      "doors",
		Topic:     finding.RideHailing,
		Asks:      []string{"P4"},
		Question:  "Which mechanism is best for ride hailing?",
		Teaser:    "poll, stream, socket",
		Situation: "Cars send a position a second; riders watch through seven doors. What decides for the WebSocket?",
		Options:   []string{"down: it is far smaller than SSE", "the way up: a POST has headers", "age: SSE is far older", "nothing: polling is as good"},
		Knobs: []finding.Knob{
			{Name: "drivers", Label: "Drivers", Help: "Each with a rider at each door.", Default: 24, Low: 2, High: 60, Step: 1},
			{Name: "seconds", Label: "Watched for", Help: "How long the riders watch.", Unit: "s", Default: 4, Low: 3, High: 20, Step: 1},
			{Name: "fix", Label: "A position every", Help: "Between two positions of a car.", Unit: "ms", Default: 1000, Low: 200, High: 3000, Step: 100},
			{Name: "show", Label: "Show", Help: "The doors, or the card: which mechanism for what.", Choices: []string{showTable, showCard}},
		},
		Takes: 9 * time.Second,
		Real:  "a node and its gateway, phones' sockets, HTTP on loopback, queue, routing",
		Made:  "the people, the HTTP doors",
		Code: []finding.Code{
			{File: "gateway/latest_position.go", Func: "latestPosition.takePosition", Why: "the newest wins"},
			{File: "lab/doors/server.go", Func: "server.serveStream", Why: "SSE"},
		},
		Next:  "ridehail lab doors --show card, for which mechanism serves which message",
		Frame: func(v finding.Values) plot.Chart { return newSetting(v).emptyChart() },
		Run:   runDoors,
	}
}

// setting is what the knobs ask for.
type setting struct {
	drivers int
	fixes   int // of each car
	every   time.Duration
	show    string
}

func newSetting(v finding.Values) setting {
	s := setting{drivers: v.Int("drivers"), every: v.Milliseconds("fix"), show: v.Choice("show")}
	s.fixes = max(2, int(math.Round(float64(v.Seconds("seconds"))/float64(s.every))))
	return s
}

// drawn are the doors whose picture is drawn, of the first car.
var drawn = []int{slowPoll, quickPoll, stream, socket}

// emptyChart is the age of one rider's picture over time, with half of the
// longest interval: no polling at that interval is younger.
func (s setting) emptyChart() plot.Chart {
	end := time.Duration(s.fixes) * s.every
	longest := doors[slowPoll].every
	return plot.Chart{X: plot.Axis{Name: "s", End: end.Seconds()}, Y: plot.Axis{Name: "age of one rider's picture, s", End: (longest + s.every).Seconds()},
		Panels: []plot.Panel{{Limits: []plot.Limit{{At: (longest / 2).Seconds(), Name: "half of 2 s: least mean age of polling"}}}}}
}

// Figures is all that a run found.
type Figures struct {
	Doors    []Door `json:"doors"`
	Others   Others `json:"others"`
	Card     Card   `json:"card"`
	Markdown string `json:"markdown"` // the card, for a document
}

// runDoors opens a town, watches it through all doors, and measures what each
// costs.
func runDoors(ctx context.Context, run *finding.Run) (finding.Result, error) {
	s := newSetting(run.Values)
	t, err := openTown(ctx, run, s.drivers)
	if err != nil {
		return finding.Result{}, fmt.Errorf("doors: %w", err)
	}
	defer t.close()

	web, err := startServer(t.ctx, t, &t.work)
	if err != nil {
		return finding.Result{}, fmt.Errorf("doors: %w", err)
	}

	w := newWindow(s.fixes, s.every, s.drivers, run.Seed)
	chart, all, err := s.watchDoors(run, w, t, web)
	if err != nil {
		return finding.Result{}, fmt.Errorf("doors: %w", err)
	}

	costs, err := measureCosts(t.ctx, t, web)
	if err != nil {
		return finding.Result{}, fmt.Errorf("doors: %w", err)
	}
	costs.applyTo(all)

	others, err := rehearseRides(t.ctx, t)
	if err != nil {
		return finding.Result{}, fmt.Errorf("doors: %w", err)
	}
	return s.buildResult(t, web, chart, all, others), nil
}

func (s setting) buildResult(t *town, web *server, chart plot.Chart, all []Door, others Others) finding.Result {
	card := newCard(all, others)
	table := doorsTable(all)
	if s.show == showCard {
		table = card.buildTable()
	}
	return finding.Result{Seen: seenDoors(all), Table: table, Chart: chart, Claims: judgeDoors(all), Notice: noticeDoors(all),
		Parts: []finding.Part{
			{Name: "node", Where: t.node.PublicURL(), Count: fmt.Sprintf("%d drivers, %d offers", s.drivers, others.Offers)},
			{Name: "HTTP doors", Where: web.url, Count: fmt.Sprintf("%d polls", all[0].Requests+all[1].Requests+all[2].Requests)},
		},
		Figures: Figures{Doors: all, Others: others, Card: card, Markdown: card.Markdown()}}
}

// watchDoors opens all doors for the time of the window.
func (s setting) watchDoors(run *finding.Run, w *window, t *town, web *server) (plot.Chart, []Door, error) {
	crowds := make([]*crowd, len(doors))
	for i, d := range doors {
		meter, url, err := openMeter(d.serverURL(t, web))
		if err != nil {
			return plot.Chart{}, nil, err
		}
		defer meter.Close()
		crowds[i] = newCrowd(d, t.pairs, url)
		crowds[i].meter = meter
		defer crowds[i].leave()
	}
	for _, i := range drawn {
		w.drawPictures(crowds[i], run.Point)
	}

	all, err := w.watchCrowds(t.ctx, t, crowds)
	chart := s.emptyChart()
	for _, i := range drawn {
		chart.Panels[0].Curves = append(chart.Panels[0].Curves,
			plot.Curve{Name: crowds[i].name, Points: crowds[i].viewers[0].agePoints(w.begun, w.end(0, s.drivers))})
	}
	return chart, all, err
}

// drawPictures tells of the first car's picture as it changes: its age before,
// and after.
func (w *window) drawPictures(c *crowd, point func(curve string, x, y float64)) {
	var before time.Time
	c.viewers[0].onShow = func(seq uint32, taken, shown time.Time) {
		if w.isOutside(seq, c.viewers[0]) {
			return
		}

		x := shown.Sub(w.begun).Seconds()
		if !before.IsZero() {
			point(c.name, x, shown.Sub(before).Seconds())
		}
		before = taken
		point(c.name, x, shown.Sub(taken).Seconds())
	}
}

// isOutside reports whether a position is none of the window's.
func (w *window) isOutside(seq uint32, v *viewer) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.from == 0 || seq <= v.from
}
