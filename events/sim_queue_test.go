package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/internal/sleep"
)

const (
	simJobs = "jobs"
	// takeoverLimit is how soon another worker takes over from one that fell
	// silent: three heartbeats, the next look of another worker, its blocking
	// read, and the round trips.
	takeoverLimit = 3*time.Second + time.Second + readBlock + time.Second
	// finishLimit is when every job is done or given up after the last fault:
	// the grace before a job is queued again, the waits between its five
	// deliveries, and its longest run.
	finishLimit = 30*time.Second + (3+6+12+24+48)*time.Second + 30*time.Second
)

// task is what the database knows of a job, and what the simulation saw of it.
type task struct {
	kind    string // sound, long, poison, deadly
	queued  time.Time
	times   int // it was queued
	runs    int
	begun   time.Time // the last run
	on      *machine  // that runs it, or ran it last
	running bool
	done    bool
}

// queueSim is a simulation of a queue, its workers, and a record of what they
// did.
type queueSim struct {
	*simWorld
	producer *machine // queues the jobs; it has no faults
	lost     chan struct{}
	// forgets says that Redis loses its data, so that undone jobs are queued
	// again.
	forgets bool

	mu    sync.Mutex // guards all below
	tasks map[string]*task
	nodes map[string]*machine
	grace time.Duration // after it an undone job is queued again; 0: it is not
	// calmSince is when injectFaults ended; zero before.
	calmSince time.Time
	// stoppedAt is when a machine was last killed, or paused for longer than
	// its hold on a job lasts.
	stoppedAt map[*machine]time.Time
	holders   map[string]redis.XPendingExt
}

// Each job is done, or becomes a dead letter, before it is forgotten, through
// any crash, pause or loss. A worker that lives keeps its job; a worker that
// dies or pauses is replaced soon.
func TestSimulatedWorkersLoseNoJob(t *testing.T) {
	runSimulation(t, 6, func(w *simWorld) {
		f := &queueSim{simWorld: w, lost: make(chan struct{}, 1), tasks: map[string]*task{}, nodes: map[string]*machine{},
			stoppedAt: map[*machine]time.Time{}, holders: map[string]redis.XPendingExt{}, forgets: w.drawChance(.5)}

		// Redis's clock differs from the nodes' clocks.
		w.jumpClock(w.drawBetween(-5*time.Minute, 5*time.Minute))
		w.seen = f.checkCommand
		f.producer = w.bootMachine("producer")
		names := []string{"a", "b", "c"}
		for _, name := range names {
			f.startNode(name)
		}
		f.producer.startPart(f.requeueUndone)
		f.producer.startPart(f.watchHolders)
		f.injectFaults(names)
		f.endFaults(names)
		f.injectSingleFaults(names)
		f.checkAllDone("at the end")
	})
}

func (f *queueSim) startNode(name string) {
	m := f.bootMachine(name)
	w := &Worker{Redis: m.r, Stream: simJobs, Consumer: name,
		Handle: func(ctx context.Context, id string, _ []byte) error { return f.runJob(ctx, m, id) },
		OnQueueLost: func() {
			select {
			case f.lost <- struct{}{}:
			default:
			}
		}}

	f.mu.Lock()
	f.nodes[name] = m
	f.mu.Unlock()
	m.startPart(w.Run)
}

// restartNode ends a machine with end and starts it again under its name,
// unless that is happening already.
func (f *queueSim) restartNode(m *machine, end func(*machine), after time.Duration) {
	f.mu.Lock()
	known := f.nodes[m.name] == m
	if known {
		f.nodes[m.name], f.stoppedAt[m] = nil, time.Now()
	}
	f.mu.Unlock()

	if known {
		end(m)
		time.Sleep(after)
		m.work.Wait()
		f.startNode(m.name)
	}
}

// nodeNamed returns the machine of that name, or nil while it restarts.
func (f *queueSim) nodeNamed(name string) *machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[name]
}

// addJob creates a job, queues it, and returns its id.
func (f *queueSim) addJob(kind string) string {
	f.mu.Lock()
	id := fmt.Sprint(kind, len(f.tasks))
	f.tasks[id] = &task{kind: kind}
	f.mu.Unlock()
	f.enqueueJob(id)
	return id
}

func (f *queueSim) enqueueJob(id string) {
	f.mu.Lock()
	f.tasks[id].queued, f.tasks[id].times = time.Now(), f.tasks[id].times+1
	f.mu.Unlock()
	if err := f.producer.r.EnqueueJob(f.ctx, simJobs, id, []byte(id)); err != nil && f.ctx.Err() == nil {
		f.reportViolation("the producer cannot queue: " + err.Error())
	}
}

// requeueUndone queues undone jobs again, as the reconciler of payments does.
func (f *queueSim) requeueUndone(ctx context.Context) error {
	for ctx.Err() == nil {
		least := time.Duration(0)
		select {
		case <-ctx.Done():
		case <-f.lost:
		case <-time.After(time.Second):
			f.mu.Lock()
			least = f.grace
			f.mu.Unlock()
			if least == 0 {
				continue
			}
		}

		f.mu.Lock()
		var undone []string
		for id, t := range f.tasks {
			if !t.done && time.Since(t.queued) >= least {
				undone = append(undone, id)
			}
		}
		f.mu.Unlock()

		for _, id := range undone {
			f.enqueueJob(id)
		}
	}

	return ctx.Err()
}

// runJob does a job on a machine.
func (f *queueSim) runJob(ctx context.Context, m *machine, id string) error {
	m.waitWhilePaused()
	f.mu.Lock()
	t := f.tasks[id]
	if other := t.on; t.running && other != m && !f.calmSince.IsZero() && t.begun.After(f.calmSince) && t.times == 1 &&
		!f.stoppedAt[other].After(t.begun) {
		go f.reportViolation(id + " is begun on " + m.name + " though " + other.name + " lives and does it")
	}
	t.runs, t.begun, t.on, t.running = t.runs+1, time.Now(), m, true
	f.mu.Unlock()

	defer func() {
		f.mu.Lock()
		t.running = t.running && t.on != m
		f.mu.Unlock()
	}()

	takes := f.drawBetween(time.Millisecond, time.Second)
	switch t.kind {
	case "long":
		// Longer than several heartbeats, but within the limit.
		takes = f.drawBetween(10*time.Second, 25*time.Second)
	case "deadly":
		f.wg.Go(func() { f.restartNode(m, (*machine).crash, 0) })
		<-m.ctx.Done()
		return ctx.Err()
	}

	if !sleep.For(ctx, takes) {
		return ctx.Err()
	}
	m.waitWhilePaused()

	switch {
	case m.ctx.Err() != nil:
		return m.ctx.Err()
	case t.kind == "poison" && f.drawChance(.5):
		panic("poison")
	case t.kind == "poison":
		return errors.New("poison")
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	t.done = true
	return nil
}

// checkCommand checks that no job is acknowledged before it is done or has a
// dead letter.
func (f *queueSim) checkCommand(cmd string, args []string) {
	if cmd != "XACK" {
		return
	}

	entries, err := f.mini.Stream(args[0])
	if err != nil {
		return // it has just been forgotten
	}

	for _, e := range entries {
		if e.ID != args[2] {
			continue
		}
		id := e.Values[1]
		f.mu.Lock()
		done := f.tasks[id].done
		f.mu.Unlock()

		if !done && f.countLetters()[id] == 0 && time.Since(f.lastFlush()) > takeoverLimit {
			f.reportViolation(id + " is acknowledged before it is done")
		}
	}
}

// countLetters counts the dead letters by job.
func (f *queueSim) countLetters() map[string]int {
	of := map[string]int{}

	// An error means that there is no dead letter yet.
	entries, _ := f.mini.Stream(f.producer.r.deadKey(simJobs))
	for _, e := range entries {
		of[e.Values[1]]++
	}
	return of
}

// watchHolders checks that a job changes hands only by a delivery that is
// counted.
func (f *queueSim) watchHolders(ctx context.Context) error {
	for sleep.For(ctx, 300*time.Millisecond) {
		asked := time.Now()
		now, err := f.producer.r.commands.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: f.producer.r.streamKey(simJobs), Group: workerGroup,
			Start: "-", End: "+", Count: 100}).Result()
		if err != nil || !f.lastFlush().Before(asked.Add(-time.Second)) {
			clear(f.holders)
			continue
		}

		for _, p := range now {
			was, known := f.holders[p.ID]
			if known && (p.RetryCount < was.RetryCount || p.Consumer != was.Consumer && p.RetryCount == was.RetryCount) {
				f.reportViolation(fmt.Sprintf("entry %s went from %s, delivery %d, to %s, delivery %d", p.ID,
					was.Consumer, was.RetryCount, p.Consumer, p.RetryCount))
			}
			f.holders[p.ID] = p
		}
	}

	return ctx.Err()
}

func (f *queueSim) injectFaults(names []string) {
	if f.forgets {
		f.mu.Lock()
		f.grace = 30 * time.Second
		f.mu.Unlock()
	}

	if !f.forgets && f.drawChance(.3) {
		f.addJob("deadly")
	}

	for end := time.Now().Add(80 * time.Second); time.Now().Before(end); time.Sleep(f.drawBetween(10*time.Millisecond, 5*time.Second)) {
		f.addJob([]string{"sound", "sound", "long", "poison"}[f.drawNumber(4)])
		m := f.nodeNamed(names[f.drawNumber(len(names))])
		if m == nil {
			continue
		}

		switch f.drawNumber(10) {
		case 0:
			f.restartNode(m, (*machine).crash, f.drawBetween(0, 5*time.Second))
		case 1:
			f.restartNode(m, (*machine).shutDown, 0)
		case 2, 3, 4:
			m.pauseFor(f.drawBetween(10*time.Millisecond, 9*time.Second))
		case 5:
			m.cutLines(f.drawBetween(time.Second, 9*time.Second))
		case 6, 7:
			m.setFaultRate(.3)
		case 8:
			m.setFaultRate(0)
		case 9:
			if f.forgets {
				f.scheduleFlush()
			}
		}
	}
}

// endFaults ends all faults. From now on no job is queued again.
func (f *queueSim) endFaults(names []string) {
	for _, name := range names {
		if m := f.nodeNamed(name); m != nil {
			m.waitUntilWell()
		}
	}

	f.checkAllDone("after everything was well again")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grace, f.calmSince = 0, time.Now()
}

// checkAllDone checks that every job is done, or given up if it cannot be done,
// each with one dead letter.
func (f *queueSim) checkAllDone(when string) {
	var left []string
	f.waitOrReport(finishLimit, func() bool {
		letters := f.countLetters()
		left = nil
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, t := range f.tasks {
			n := letters[id]
			switch {
			case n > 1:
				left = append(left, fmt.Sprintf("%s with %d letters", id, n))
			case !t.done && n == 0:
				left = append(left, id)
			case t.done && n > 0 && t.begun.After(f.calmSince) && !f.calmSince.IsZero():
				left = append(left, id+" given up though it is sound")
			case t.runs > 5*t.times:
				left = append(left, fmt.Sprintf("%s that ran %d times in %d deliveries", id, t.runs, 5*t.times))
			}
		}

		return len(left) == 0
	}, func() string { return fmt.Sprintf("%v neither done nor given up once, %s", left, when) })
}

// waitOrReport reports a violation if a condition does not come true in time.
func (f *queueSim) waitOrReport(within time.Duration, ok func() bool, what func() string) {
	for end := time.Now().Add(within); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			f.reportViolation(what())
			return
		}
	}
}

// injectSingleFaults is a time in which one fault at a time happens, whose
// effect is known.
func (f *queueSim) injectSingleFaults(names []string) {
	f.addJob("poison")

	for range 3 {
		id := f.addJob("long")
		f.checkBegins(id, nil, 3*time.Second)
		f.mu.Lock()
		on := f.tasks[id].on
		f.mu.Unlock()
		time.Sleep(f.drawBetween(0, 5*time.Second))

		switch f.drawNumber(4) {
		case 0:
			f.wg.Go(func() { f.restartNode(on, (*machine).crash, 2*takeoverLimit) })
			f.checkBegins(id, on, takeoverLimit)
		case 1:
			f.mu.Lock()
			f.stoppedAt[on] = time.Now()
			f.mu.Unlock()
			on.pauseFor(f.drawBetween(takeoverLimit, 2*takeoverLimit))
			f.checkBegins(id, on, takeoverLimit)
		case 2: // too short to matter
			for _, name := range names {
				if m := f.nodeNamed(name); m != nil {
					m.pauseFor(f.drawBetween(0, time.Second))
				}
			}
		case 3:
			if f.forgets {
				f.checkForgetting()
			}
		}

		f.checkFinishes(id, 40*time.Second)
	}
}

// checkForgetting checks that jobs which Redis lost are queued again at once.
func (f *queueSim) checkForgetting() {
	var ids []string
	for range 3 {
		ids = append(ids, f.addJob("sound"))
	}
	f.scheduleFlush()
	time.Sleep(2 * time.Second) // Redis is asked often enough by then
	for _, id := range ids {
		f.checkFinishes(id, takeoverLimit)
	}
}

func (f *queueSim) checkBegins(id string, notOn *machine, within time.Duration) {
	f.waitOrReport(within, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.tasks[id].on != notOn || f.tasks[id].done
	}, func() string { return id + " is not begun within " + within.String() })
}

func (f *queueSim) checkFinishes(id string, within time.Duration) {
	f.waitOrReport(within, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.tasks[id].done
	}, func() string { return id + " is not done within " + within.String() })
}
