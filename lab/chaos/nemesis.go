package chaos

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

// Strike is a fault with the times at which it happened.
type Strike struct {
	Fault
	Begun  time.Time
	Healed time.Time
}

// nemesis injects the faults of a plan.
type nemesis struct {
	city *city
	// onFault, if set, is called right after a fault begins, by many
	// goroutines.
	onFault func(Strike)
	strikes []Strike // each written by one goroutine of run
	// parts are locked while a fault affects them. A heal may take longer than
	// planned, such as until another master of Redis is elected.
	parts map[string]*sync.Mutex
}

// run returns when the last fault is healed. When ctx ends, it heals at once.
func (n *nemesis) run(ctx context.Context, plan []Fault) error {
	begin := time.Now()
	n.strikes = make([]Strike, len(plan))
	n.parts = map[string]*sync.Mutex{}
	for _, f := range plan {
		n.parts[f.affectedPart()] = new(sync.Mutex)
	}

	team, ctx := errgroup.WithContext(ctx)
	for i, f := range plan {
		team.Go(func() error { return n.injectFault(ctx, begin, &n.strikes[i], f) })
	}
	return team.Wait()
}

func (n *nemesis) injectFault(ctx context.Context, begin time.Time, hit *Strike, f Fault) error {
	if !sleep.Until(ctx, begin.Add(f.At)) {
		return ctx.Err()
	}
	part := n.parts[f.affectedPart()]
	part.Lock()
	defer part.Unlock()

	n.city.cfg.Log.Info("break", "fault", f.String(), "for", f.Lasts)
	s := Strike{Fault: f, Begun: time.Now()}

	heal, err := n.breakPart(ctx, f)
	if err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	if n.onFault != nil {
		n.onFault(s)
	}

	sleep.Until(ctx, begin.Add(f.At+f.Lasts)) // heal also when ctx ends
	s.Healed = time.Now()
	if err := heal(); err != nil {
		return fmt.Errorf("heal %s: %w", f, err)
	}

	*hit = s
	return ctx.Err()
}

// breakPart injects a fault and returns what heals it.
func (n *nemesis) breakPart(ctx context.Context, f Fault) (heal func() error, err error) {
	c := n.city
	switch f.Kind {
	case KillNode:
		return killUntilHealed(c.nodes[f.Node-1].Service), nil
	case KillRedis:
		return killUntilHealed(c.redis), nil
	case KillPostgres:
		return killUntilHealed(c.postgres), nil
	case SkewClock:
		hit := c.nodes[f.Node-1]
		heal := killUntilHealed(hit.Service)
		hit.setClock(time.Duration(f.Amount) * time.Millisecond)
		return heal, nil
	case PauseNode:
		return pauseUntilHealed(c.nodes[f.Node-1].Service), nil
	case PauseRedis:
		return pauseUntilHealed(c.redis), nil
	case FlushRedis:
		return nothingToHeal, c.flushRedis(ctx)
	case FailOverRedis:
		return c.killMaster(ctx, f.Amount)
	case PauseMaster:
		return c.pauseMaster(ctx, f.Amount)
	case Reshard:
		return nothingToHeal, c.reshard(ctx, f.Amount)
	case PromoteStandby:
		return c.standby.failOver(ctx)
	case CutOffNode:
		return c.namespaces[f.Node-1].cutOff(ctx)
	case RestartPgBouncer:
		return killUntilHealed(c.bouncer), nil
	case FullDisk:
		return c.fillDisk()
	case Hog:
		return c.hogProcessors()
	case Storm:
		for _, n := range c.nodes {
			if err := n.proxies[LinePhones].each((*lineProxy).cutConnections); err != nil {
				return nil, err
			}
		}
		return nothingToHeal, nil
	}

	line := c.nodes[f.Node-1].proxies[f.Line]
	heal = func() error { return line.each((*lineProxy).removeFault) }
	return heal, line.each(func(p *lineProxy) error { return p.applyFault(f) })
}

// feasibleFaults returns the faults that can be made here, and for each kind
// that cannot a row with the reason.
func (c *city) feasibleFaults(plan []Fault) (can []Fault, left []string) {
	can = slices.DeleteFunc(plan, func(f Fault) bool { return c.unavailable[f.Kind] != "" })
	for _, k := range allKinds {
		if why := c.unavailable[k]; why != "" {
			left = append(left, string(k)+": "+why)
		}
	}
	return can, left
}

func nothingToHeal() error { return nil }

func killUntilHealed(s *process.Service) (revive func() error) {
	s.Kill()
	return func() error { s.Revive(); return nil }
}

func pauseUntilHealed(s *process.Service) (wake func() error) {
	s.Pause()
	return func() error { s.Resume(); return nil }
}

// hogProcessors starts a busy loop for every processor.
func (c *city) hogProcessors() (end func() error, err error) {
	var loops []*process.Process
	end = func() error {
		for _, p := range loops {
			p.Kill()
		}
		return nil
	}

	for i := range runtime.NumCPU() {
		p, err := process.Start(process.Command{Name: fmt.Sprintf("hog-%d", i+1), Path: "/bin/sh",
			Args: []string{"-c", "while :; do :; done"}, Dir: c.dir}, c.guard)
		if err != nil {
			return nil, errors.Join(err, end())
		}
		loops = append(loops, p)
	}

	return end, nil
}
