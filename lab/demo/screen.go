package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/web"
)

// screen shows the progress of a demo. One goroutine uses it.
type screen struct {
	*demo
	node *node.Node

	lines          int       // of the picture drawn last
	acceptedBefore uint64    // fixes, when the figures were last read
	readAt         time.Time // when that was
}

var (
	strong = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	link   = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color("12"))
)

// showStart says what begins: opening the stores may take a while.
func (d *demo) showStart() {
	fmt.Fprintf(d.cfg.Screen, "starting a node, a payment provider, %d drivers and %d riders …\n", d.cfg.Drivers, d.cfg.Riders)
}

// showStoppedEarly says why there is no summary.
func (d *demo) showStoppedEarly() {
	fmt.Fprintln(d.cfg.Screen, "stopped before the city was live: there is nothing to sum up")
}

// showsLine reports whether a line is due after so many seconds where there is
// no terminal: soon at first, then every ten seconds.
func showsLine(second int) bool { return second == 2 || second == 5 || second%10 == 0 }

// showProgress shows the figures until ctx ends.
func (d *demo) showProgress(ctx context.Context, n *node.Node) {
	s := &screen{demo: d, node: n, acceptedBefore: n.Drivers().Counts().Accepted, readAt: time.Now()}
	if !d.cfg.Live {
		fmt.Fprintf(d.cfg.Screen, "the city is live: open %s%s\nthe lab is at %s\nthe X-ray of each ride is at %s\ndata goes to %s\n",
			n.PublicURL(), libraryHint(), pageURL(n, "/lab"), pageURL(n, "/xray"), d.cfg.Data)
	}

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; ; second++ {
		select {
		case <-ctx.Done():
			s.showStopping()
			return
		case <-tick.C:
			if d.cfg.Live || showsLine(second) {
				s.showFigures(s.readFigures())
			}
		}
	}
}

func (s *screen) showStopping() {
	text := "stopping: letting payments settle, then checking every promise …"
	if s.cfg.Live {
		text = faint.Render("  " + text)
	}
	fmt.Fprintln(s.cfg.Screen, text)
}

// showFigures draws the picture over the last one, or adds one line where there
// is no terminal.
func (s *screen) showFigures(f figures) {
	if !s.cfg.Live {
		fmt.Fprintln(s.cfg.Screen, s.formatLine(f))
		return
	}
	text := s.formatPicture(f)
	if s.lines > 0 {
		fmt.Fprintf(s.cfg.Screen, "\x1b[%dA\x1b[J", s.lines)
	}
	s.lines = strings.Count(text, "\n")
	fmt.Fprint(s.cfg.Screen, text)
}

// figures are what the screen shows at one moment.
type figures struct {
	drivers, requested, reserved, completed, ended int64

	available, busy int
	chats, seen     int64 // chat messages and positions that arrived
	perSecond       float64
	p50, p99        float64 // of update latency, ms
	refused         uint64
	losses          Losses
}

func (s *screen) readFigures() figures {
	c, sim, t := s.node.Drivers().Counts(), s.stats.Snapshot(), &s.tally
	f := figures{drivers: sim.DriversConnected, available: c.Status[sharedstate.Available],
		busy:      c.Status[sharedstate.Reserved] + c.Status[sharedstate.OnTrip],
		requested: t.requested.Load(), reserved: t.reserved.Load(), completed: t.completed.Load(),
		ended: t.cancelled.Load() + t.expired.Load(), chats: sim.ChatDelivered,
		seen: sim.Latency.Count, p50: sim.Latency.P50, p99: sim.RecentP99, losses: s.countLosses(sim)}

	for _, n := range c.Rejected {
		f.refused += n
	}

	now := time.Now()
	f.perSecond = float64(c.Accepted-s.acceptedBefore) / now.Sub(s.readAt).Seconds()
	s.acceptedBefore, s.readAt = c.Accepted, now
	return f
}

// formatLine tells the figures where there is no terminal.
func (s *screen) formatLine(f figures) string {
	line := fmt.Sprintf("%3.0f s: %d drivers, %d with a rider or on the way; %d rides requested, %d completed; %.0f positions/s",
		time.Since(s.started).Seconds(), f.drivers, f.busy, f.requested, f.completed, f.perSecond)
	if f.seen > 0 {
		line += fmt.Sprintf(", 99 in 100 at their rider within %.1f ms", f.p99)
	}
	if f.losses != (Losses{}) {
		line += "; " + f.losses.text()
	}
	return line
}

func (s *screen) formatPicture(f figures) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %s %s\n", faint.Width(10).Render(name), fmt.Sprintf(format, args...))
	}
	url := s.node.PublicURL()

	fmt.Fprintf(&b, "\n  %s  %s\n\n", strong.Render("ridehail"), faint.Render(fmt.Sprintf("%s, time runs %g× as fast, %s so far",
		s.node.City().Name(), s.cfg.Node.Speed, time.Since(s.started).Round(time.Second))))

	row("page", "%s%s", link.Render(url), libraryHint())
	row("lab", "%s%s", link.Render(pageURL(s.node, "/lab")), faint.Render("  questions answered by running them"))
	row("x-ray", "%s%s", link.Render(pageURL(s.node, "/xray")), faint.Render("  one ride hop by hop, and switches that break the city"))
	row("drivers", "%d on the road, %d free, %d with a rider or on the way", f.drivers, f.available, f.busy)
	row("rides", "%d requested, %d got a driver, %d completed, %d cancelled or expired", f.requested, f.reserved, f.completed, f.ended)
	row("positions", "%.0f a second from drivers, %d refused", f.perSecond, f.refused)

	if f.seen == 0 {
		row("latency", "no rider watches a car yet")
	} else {
		row("latency", "driver to rider: half within %.2f ms; of the last seconds, 99 in 100 within %.2f ms", f.p50, f.p99)
	}

	row("chat", "%d messages delivered", f.chats)
	row("losses", "%s", f.losses.text())
	row("data", "%s", s.cfg.Data)
	fmt.Fprintf(&b, "\n  %s\n", faint.Render("Try in another terminal: "+os.Args[0]+" latency --server "+url+"     Ctrl-C ends."))
	return b.String()
}

// pageURL is a page that is used at this machine.
func pageURL(n *node.Node, path string) string {
	return localURL(strings.TrimPrefix(n.PublicURL(), "http://")) + path
}

// libraryHint says what is missing for the page, if anything.
func libraryHint() string {
	if web.HasLibraries() {
		return ""
	}
	return "  (its map library is missing: run make web and build again)"
}
