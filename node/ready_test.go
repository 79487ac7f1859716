package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// probe is a check that counts how often it is made.
type probe struct {
	made    atomic.Int32
	result  error
	takes   time.Duration
	ignores bool // the context
}

func (p *probe) check(ctx context.Context) error {
	p.made.Add(1)
	for late := time.After(p.takes); ; {
		select {
		case <-late:
			return p.result
		case <-ctx.Done():
			if !p.ignores {
				return ctx.Err()
			}
			<-late
			return p.result
		}
	}
}

func (p *probe) named(name string) *readyCheck { return &readyCheck{name: name, check: p.check} }

func TestReadinessIsAskedForAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(probe)
		c := p.named("redis")
		for range 10_000 { // ten seconds
			if err := c.ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := p.made.Load(); n != 10 {
			t.Errorf("%d checks in ten seconds", n)
		}
	})
}

func TestATroubleIsNoticedWithinASecondAndItsEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(probe)
		c := p.named("redis")
		awaitChange := func(good bool) time.Duration {
			began := time.Now()
			for (c.ask(t.Context()) == nil) != good {
				time.Sleep(time.Millisecond)
			}
			return time.Since(began)
		}

		awaitChange(true)
		p.result = errors.New("a replica")
		if took := awaitChange(false); took > goodFor {
			t.Errorf("it took %v to notice", took)
		}

		time.Sleep(time.Hour)
		if err := c.ask(t.Context()); err == nil || err.Error() != "redis: a replica" {
			t.Errorf("it says %v", err)
		}
		p.result = nil
		if took := awaitChange(true); took > badFor {
			t.Errorf("it took %v to notice the end", took)
		}
	})
}

func TestThoseWhoAskAtTheSameTimeShareACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{takes: readyTimeout / 2, result: errors.New("full")}
		c := p.named("redis")
		left, leave := context.WithCancel(t.Context())
		var askers sync.WaitGroup
		askers.Go(func() { _ = c.ask(left) })
		synctest.Wait()
		for range 100 {
			askers.Go(func() {
				if err := c.ask(t.Context()); err == nil || err.Error() != "redis: full" {
					t.Errorf("one is told %v", err)
				}
			})
		}

		// The one whose check it is does not end that of the others.
		leave()
		askers.Wait()
		if n := p.made.Load(); n != 1 {
			t.Errorf("%d checks for all", n)
		}
	})
}

func TestAServerThatHangsIsNotTakenForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging, good := &probe{takes: time.Hour}, new(probe)
		began := time.Now()
		for _, hung := range []string{"redis", "database"} {
			checks := []*readyCheck{hanging.named(hung), good.named("other")}
			if err := checkAll(t.Context(), checks); err == nil || !strings.HasPrefix(err.Error(), hung+": ") || strings.Contains(err.Error(), "other") {
				t.Errorf("%s hangs: %v", hung, err)
			}
		}
		err := checkAll(t.Context(), []*readyCheck{hanging.named("redis"), hanging.named("database")})
		if err == nil || !strings.Contains(err.Error(), "redis: ") || !strings.Contains(err.Error(), "; database: ") {
			t.Errorf("both hang: %v", err)
		}
		if took := time.Since(began); took != 3*readyTimeout {
			t.Errorf("three answers took %v", took)
		}
	})
}

func TestAnAskerDoesNotWaitForACheckThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{takes: time.Hour, ignores: true}
		c := p.named("database")
		var first sync.WaitGroup
		first.Go(func() { _ = c.ask(t.Context()) })
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := c.ask(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "database: ") {
			t.Errorf("it says %v", err)
		}
		first.Wait()
	})
}
