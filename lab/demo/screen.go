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

// showProgress shows the figures until ctx ends.
func (d *demo) showProgress(ctx context.Context, n *node.Node) {
	every := 10 * time.Second
	if d.cfg.Live {
		every = time.Second
	}

	s := &screen{demo: d, node: n, acceptedBefore: n.Drivers().Counts().Accepted, readAt: time.Now()}
	if !d.cfg.Live {
		fmt.Fprintf(d.cfg.Screen, "the city is live: open %s%s\ndata goes to %s\n", n.PublicURL(), libraryHint(), d.cfg.Data)
	}

	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if d.cfg.Live {
				fmt.Fprintln(d.cfg.Screen, faint.Render("  stopping: letting payments settle, then checking every promise …"))
			}
			return
		case <-tick.C:
			s.showFigures(s.readFigures())
		}
	}
}

// showFigures draws the picture over the last one, or adds one line where there
// is no terminal.
func (s *screen) showFigures(f figures) {
	if !s.cfg.Live {
		fmt.Fprintf(s.cfg.Screen, "%4.0fs  drivers %d  on trips %d  requests %d  completed %d  %.0f updates/s  p99 %.1f ms\n",
			time.Since(s.started).Seconds(), f.drivers, f.busy, f.requested, f.completed, f.perSecond, f.p99)
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
}

func (s *screen) readFigures() figures {
	c, sim, t := s.node.Drivers().Counts(), s.stats.Snapshot(), &s.tally
	f := figures{drivers: sim.DriversConnected, available: c.Status[sharedstate.Available],
		busy:      c.Status[sharedstate.Reserved] + c.Status[sharedstate.OnTrip],
		requested: t.requested.Load(), reserved: t.reserved.Load(), completed: t.completed.Load(),
		ended: t.cancelled.Load() + t.expired.Load(), chats: sim.ChatDelivered,
		seen: sim.Latency.Count, p50: sim.Latency.P50, p99: sim.RecentP99}

	for _, n := range c.Rejected {
		f.refused += n
	}

	now := time.Now()
	f.perSecond = float64(c.Accepted-s.acceptedBefore) / now.Sub(s.readAt).Seconds()
	s.acceptedBefore, s.readAt = c.Accepted, now
	return f
}

func (s *screen) formatPicture(f figures) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %s %s\n", faint.Width(10).Render(name), fmt.Sprintf(format, args...))
	}
	url := s.node.PublicURL()

	fmt.Fprintf(&b, "\n  %s  %s\n\n", strong.Render("ridehail"), faint.Render(fmt.Sprintf("%s, %d× time, running %s",
		s.node.City().Name(), int(s.cfg.Node.Speed), time.Since(s.started).Round(time.Second))))

	row("page", "%s%s", link.Render(url), libraryHint())
	row("drivers", "%d on the road, %d free, %d with a rider or on the way", f.drivers, f.available, f.busy)
	row("trips", "%d requested, %d reserved, %d completed, %d cancelled or expired", f.requested, f.reserved, f.completed, f.ended)
	row("updates", "%.0f/s, %d refused", f.perSecond, f.refused)

	if f.seen == 0 {
		row("latency", "no rider watches a car yet")
	} else {
		row("latency", "driver to rider p50 %.2f ms, p99 of the last seconds %.2f ms", f.p50, f.p99)
	}

	row("chat", "%d messages delivered", f.chats)
	row("data", "%s", s.cfg.Data)
	fmt.Fprintf(&b, "\n  %s\n", faint.Render("Try in another terminal: "+os.Args[0]+" latency --server "+url+"     Ctrl-C ends."))
	return b.String()
}

// libraryHint says what is missing for the page, if anything.
func libraryHint() string {
	if web.HasLibraries() {
		return ""
	}
	return "  (its map library is missing: run make web and build again)"
}
