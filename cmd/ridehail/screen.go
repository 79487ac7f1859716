package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/sharedstate"
)

// screen is the calm picture of a running demo.
type screen struct {
	demo *demo
	node *node.Node
	url  string
	out  io.Writer
	live bool

	lines  int // drawn last time
	before uint64
	at     time.Time
}

var (
	strong = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	link   = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color("12"))
)

func (s *screen) begin() {
	s.at = time.Now()
	s.before = s.node.Drivers().Counts().Believed
	if !s.live {
		fmt.Fprintf(s.out, "the city is live: open %s%s\ndata goes to %s\n", s.url, pageHint(), s.demo.cmd.Data)
	}
}

// draw writes the picture over the last one, or one line where there is no terminal.
func (s *screen) draw() {
	f := s.figures()
	if !s.live {
		fmt.Fprintf(s.out, "%4.0fs  drivers %d  on trips %d  requests %d  completed %d  %.0f updates/s  p99 %.1f ms\n",
			time.Since(s.demo.started).Seconds(), f.drivers, f.busy, f.requested, f.completed, f.perSecond, f.p99)
		return
	}
	text := s.picture(f)
	if s.lines > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.lines)
	}
	s.lines = strings.Count(text, "\n")
	fmt.Fprint(s.out, text)
}

func (s *screen) end() {
	if s.live {
		fmt.Fprintln(s.out, faint.Render("  stopping: letting payments settle, then checking every promise …"))
	}
}

type figures struct {
	available, busy                                            int
	drivers, requested, reserved, completed, gone, chats, seen int64
	perSecond, p50, p99                                        float64
	refused                                                    uint64
}

func (s *screen) figures() figures {
	c, sim, t := s.node.Drivers().Counts(), s.demo.stats.Snapshot(), &s.demo.moves
	f := figures{drivers: sim.DriversConnected, available: c.Status[sharedstate.Available],
		busy:      c.Status[sharedstate.Reserved] + c.Status[sharedstate.OnTrip],
		requested: t.requested.Load(), reserved: t.reserved.Load(),
		completed: t.completed.Load(), gone: t.cancelled.Load() + t.expired.Load(), chats: sim.ChatDelivered,
		seen: sim.Latency.Count, p50: sim.Latency.P50, p99: sim.RecentP99}
	for _, n := range c.Refused {
		f.refused += n
	}
	now := time.Now()
	f.perSecond = float64(c.Believed-s.before) / now.Sub(s.at).Seconds()
	s.before, s.at = c.Believed, now
	return f
}

func (s *screen) picture(f figures) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %s %s\n", faint.Width(10).Render(name), fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "\n  %s  %s\n\n", strong.Render("ridehail"), faint.Render(fmt.Sprintf("%s, %d× time, running %s",
		s.node.City().Name(), int(s.demo.cmd.Speed), time.Since(s.demo.started).Round(time.Second))))
	row("page", "%s%s", link.Render(s.url), pageHint())
	row("drivers", "%d on the road, %d free, %d with a rider or on the way", f.drivers, f.available, f.busy)
	row("trips", "%d requested, %d reserved, %d completed, %d cancelled or expired", f.requested, f.reserved, f.completed, f.gone)
	row("updates", "%.0f/s, %d refused", f.perSecond, f.refused)
	if f.seen == 0 {
		row("latency", "nobody watches a car yet")
	} else {
		row("latency", "driver to rider p50 %.2f ms, p99 of the last seconds %.2f ms", f.p50, f.p99)
	}
	row("chat", "%d messages delivered", f.chats)
	row("data", "%s", s.demo.cmd.Data)
	fmt.Fprintf(&b, "\n  %s\n", faint.Render("Try in another terminal: "+os.Args[0]+" latency --server "+s.url+"     Ctrl-C ends."))
	return b.String()
}
