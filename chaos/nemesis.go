package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Strike is a fault as it happened.
type Strike struct {
	Fault
	Begun  time.Time
	Healed time.Time
}

// nemesis carries a plan out.
type nemesis struct {
	city *city
	hits []Strike // one of each goroutine of run
}

// run returns when the last fault is healed, also when ctx ends before that.
func (n *nemesis) run(ctx context.Context, plan []Fault) error {
	begin := time.Now()
	n.hits = make([]Strike, len(plan))
	team, ctx := errgroup.WithContext(ctx)
	for i, f := range plan {
		team.Go(func() error { return n.strike(ctx, begin, &n.hits[i], f) })
	}
	return team.Wait()
}

func (n *nemesis) strike(ctx context.Context, begin time.Time, hit *Strike, f Fault) error {
	if !until(ctx, begin.Add(f.At)) {
		return ctx.Err()
	}
	n.city.cfg.Log.Info("break", "fault", f.String(), "for", f.Lasts)
	s := Strike{Fault: f, Begun: time.Now()}
	if err := n.hurt(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	until(ctx, begin.Add(f.At+f.Lasts)) // heal also when told to end
	s.Healed = time.Now()
	if err := n.heal(f); err != nil {
		return fmt.Errorf("heal %s: %w", f, err)
	}
	*hit = s
	return ctx.Err()
}

func (n *nemesis) hurt(ctx context.Context, f Fault) error {
	c := n.city
	switch f.Kind {
	case KillNode:
		c.nodes[f.Node-1].kill()
	case PauseNode:
		c.nodes[f.Node-1].signal(syscall.SIGSTOP)
	case KillRedis:
		c.redis.kill()
	case PauseRedis:
		c.redis.signal(syscall.SIGSTOP)
	case FlushRedis:
		return c.flushRedis(ctx)
	case KillPostgres:
		c.postgres.kill()
	case Storm:
		for _, n := range c.nodes {
			if err := n.links[LinePhones].cut(); err != nil {
				return err
			}
		}
	default:
		return c.nodes[f.Node-1].links[f.Line].hurt(f)
	}
	return nil
}

func (n *nemesis) heal(f Fault) error {
	c := n.city
	switch f.Kind {
	case KillNode:
		c.nodes[f.Node-1].revive()
	case PauseNode:
		c.nodes[f.Node-1].signal(syscall.SIGCONT)
	case KillRedis:
		c.redis.revive()
	case PauseRedis:
		c.redis.signal(syscall.SIGCONT)
	case KillPostgres:
		c.postgres.revive()
	case FlushRedis, Storm:
	default:
		return c.nodes[f.Node-1].links[f.Line].heal()
	}
	return nil
}

// until waits for a moment, or returns false when ctx ends first.
func until(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
