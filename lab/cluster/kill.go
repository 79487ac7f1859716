package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// Kill is how long a killed process was felt by phones.
type Kill struct {
	Killed    string `json:"killed"`
	Positions Gap    `json:"positions"`
	News      Gap    `json:"news"`
	Offers    Gap    `json:"offers"`
}

// Gap is the longest time in which nothing came to one of the probes, in
// seconds. The probes of positions get one each probeFixEvery, those of news
// each probeChatEvery, and those of offers as soon as there is one.
type Gap struct {
	CalmS  float64 `json:"calm_s"`  // while nothing was broken
	AfterS float64 `json:"after_s"` // from the kill on
}

// measureKill kills the last node while the crowd rides, and then a master if
// there are several.
func (m *measurement) measureKill(ctx context.Context) error {
	m.cfg.Progress(fmt.Sprintf("%d nodes: phones that probe", m.size.Nodes))
	p, err := m.startProbes(ctx)
	defer p.close()
	if err != nil {
		return err
	}

	m.cfg.Progress(fmt.Sprintf("%d nodes: the crowd comes", m.size.Nodes))
	if err := m.stage.startCrowds(); err != nil {
		return err
	}
	sleep.For(ctx, joinWithin)
	p.startAsking()

	kills := []func(context.Context) (string, error){m.stage.killNode}
	if m.stage.redis.killMaster != nil {
		kills = append(kills, m.stage.redis.killMaster)
	}
	calmFor := m.cfg.For / 4
	window := (m.cfg.For - calmFor) / time.Duration(len(kills))
	calm, err := m.measureCalm(ctx, calmFor)
	if err != nil {
		return err
	}

	for _, kill := range kills {
		at := time.Now()
		what, err := kill(ctx)
		if err != nil {
			return err
		}
		m.cfg.Progress(fmt.Sprintf("%d nodes: killed %s", m.size.Nodes, what))
		sleep.For(ctx, window)
		m.size.Kills = append(m.size.Kills, p.describeKill(what, calm, interval{at, time.Now()}))
	}
	return p.endTrips(ctx)
}

// measureCalm measures the nodes while nothing is broken.
func (m *measurement) measureCalm(ctx context.Context, window time.Duration) (calm interval, err error) {
	m.cfg.Progress(fmt.Sprintf("%d nodes: measuring for %v", m.size.Nodes, window))
	before, err := m.read(ctx)
	if err != nil {
		return calm, err
	}
	sleep.For(ctx, window)
	after, err := m.read(ctx)
	if err != nil {
		return calm, err
	}
	m.fillLoad(before, after)
	return interval{before.at, after.at}, nil
}

// killNode kills the last node, to which the provider sends nothing.
func (s *stage) killNode(context.Context) (string, error) {
	n := s.nodes[len(s.nodes)-1]
	n.killed = true
	n.Kill()
	return n.Name, nil
}

func (k Kill) write(b *strings.Builder) {
	fmt.Fprintf(b, "  killed %s; the longest silence (while calm): positions %.2f s (%.2f), news %.2f s (%.2f), offers %.2f s (%.2f)\n", k.Killed,
		k.Positions.AfterS, k.Positions.CalmS, k.News.AfterS, k.News.CalmS, k.Offers.AfterS, k.Offers.CalmS)
}
