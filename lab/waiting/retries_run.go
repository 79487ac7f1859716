package waiting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/provider"
)

// policyFigures are what was counted of one policy.
type policyFigures struct {
	Name     string `json:"name"`
	Asked    []int  `json:"asked"` // by when, in bins of 0.25 s
	Good     []int  `json:"good"`  // of them answered in time
	Tries    int64  `json:"tries"`
	Answered int64  `json:"answered"` // by the service, in time or not
	Dropped  int64  `json:"dropped"`  // by the service, as too old
	Refused  int64  `json:"refused"`  // by the service, as too many
	// The last part of the run, by which it is judged.
	TriesPerAskAtEnd float64 `json:"tries_per_request_at_end"`
	AnsweredAtEnd    float64 `json:"answered_a_second_at_end"`

	goodAtEnd float64 // answers a second in the last part
	// backAfter is the seconds from the hang's end until it answers again;
	// infinite: never.
	backAfter float64
	addr      string
}

// policyRun is one policy with a service and riders of its own.
type policyRun struct {
	plan    retryPlan
	number  int
	service *slowService
	charger *payments.HTTPProvider
	budget  *payments.Budget
	onBin   func(bin, asked, good int)

	tries, triesAtEnd atomic.Int64
	answeredAtEnd     int64 // of the goroutine that sends

	// Of the goroutine that notes how requests end.
	open []int // requests of each bin that have not ended
	next int   // the first bin that was not told of
	figs policyFigures
}

// maxRuns is how often the policies are run at most: a run decides nothing in
// which this machine stood still itself.
const maxRuns = 3

// runRetries runs the policies. It runs them again when a claim does not hold
// and the machine was so late meanwhile that a healthy service would have missed
// its clients' timeout.
func runRetries(ctx context.Context, run *finding.Run) (finding.Result, error) {
	plan := newRetryPlan(run.Values)
	for try := 1; ; try++ {
		stopWatching := watchLateness()
		figures, err := plan.runPolicies(ctx, run)
		late := stopWatching()
		if err != nil {
			return finding.Result{}, err
		}

		out := plan.buildResult(figures)
		held := !slices.ContainsFunc(out.Claims, func(c finding.Claim) bool { return !c.Holds })
		if held || late < plan.timeout/2 || try == maxRuns {
			out.Parts = append(out.Parts, finding.Part{Name: "this machine", Where: fmt.Sprintf("run %d of %d at most", try, maxRuns),
				Count: fmt.Sprintf("woke up %d ms late at most", late.Milliseconds())})
			return out, nil
		}
	}
}

// runPolicies runs all policies side by side.
func (p retryPlan) runPolicies(ctx context.Context, run *finding.Run) ([]policyFigures, error) {
	figures := make([]policyFigures, len(policyNames))
	errs := make([]error, len(policyNames))
	begin := time.Now().Add(50 * time.Millisecond)

	var running sync.WaitGroup
	for i := range policyNames {
		running.Go(func() {
			policy := newPolicyRun(p, i)
			policy.onBin = func(bin, asked, good int) {
				run.Point(policyNames[i], p.middleOf(bin), p.perSecond(asked, good))
			}
			figures[i], errs[i] = policy.run(ctx, begin, run.Seed)
		})
	}
	running.Wait()
	return figures, errors.Join(append(errs, ctx.Err())...)
}

// watchLateness measures how late this machine wakes a goroutine. The caller
// must call stop, which returns the most.
func watchLateness() (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	most := make(chan time.Duration)
	go func() {
		const nap = 10 * time.Millisecond
		late := time.Duration(0)
		for began := time.Now(); sleep.For(ctx, nap); began = time.Now() {
			late = max(late, time.Since(began)-nap)
		}
		most <- late
	}()
	return func() time.Duration { cancel(); return <-most }
}

func newPolicyRun(plan retryPlan, number int) *policyRun {
	p := &policyRun{plan: plan, number: number, onBin: func(int, int, int) {}, open: make([]int, plan.countBins())}
	p.figs = policyFigures{Name: policyNames[number], Asked: make([]int, plan.countBins()), Good: make([]int, plan.countBins())}

	if number == withBudget || number == withBudgetNoOld {
		p.budget = &payments.Budget{Share: plan.budget}
	}
	return p
}

// run starts the service on a port, sends every request, and returns when all
// have ended and the service is closed.
func (p *policyRun) run(ctx context.Context, begin time.Time, seed uint64) (policyFigures, error) {
	stop, err := p.startService(ctx, begin)
	if err != nil {
		return p.figs, err
	}
	at, err := serveHandler(p.service)
	if err != nil {
		stop()
		return p.figs, err
	}

	client := newClient(64)
	p.sendRequests(ctx, begin, seed, &payments.HTTPProvider{URL: at.URL, Secret: secret, Timeout: p.plan.timeout, Client: client})
	stop()
	client.CloseIdleConnections()
	at.Close()

	f := p.collectFigures()
	f.addr = at.Addr
	return f, ctx.Err()
}

// startService starts the emulated provider behind the one worker. The caller
// must call stop.
func (p *policyRun) startService(ctx context.Context, begin time.Time) (stop func(), err error) {
	ledger, err := provider.OpenLedger("")
	if err != nil {
		return nil, err
	}

	perCall := time.Duration(float64(time.Second) / capacity)
	emulator := provider.NewEmulator(provider.Config{Secret: secret}, ledger)
	p.service = newSlowService(emulator, perCall)
	p.service.hangFrom, p.service.hangTo = begin.Add(hangFrom), begin.Add(hangFrom+p.plan.hang)
	if p.number == withBudgetNoOld {
		// What is let through must still be answered within the timeout.
		p.service.tooOld = p.plan.timeout - 2*perCall
	}

	working, cancel := context.WithCancel(ctx)
	go p.service.Run(working)
	return func() { cancel(); <-p.service.ended; emulator.Close() }, nil
}

// collectFigures returns what was counted, when all requests have ended.
func (p *policyRun) collectFigures() policyFigures {
	f := p.figs
	f.Tries, f.Answered = p.tries.Load(), p.service.answered.Load()
	f.Dropped, f.Refused = p.service.dropped.Load(), p.service.refused.Load()
	f.AnsweredAtEnd = float64(p.answeredAtEnd) / lastPart.Seconds()
	f.TriesPerAskAtEnd = float64(p.triesAtEnd.Load()) / (p.plan.rate * lastPart.Seconds())

	f.goodAtEnd = p.plan.rate * f.shareGood(p.plan.countBins()-int(lastPart/binLength), p.plan.countBins())
	f.backAfter = p.plan.findRecovery(f)
	return f
}

// sendRequests sends the requests at their times and waits until all have
// ended.
func (p *policyRun) sendRequests(ctx context.Context, begin time.Time, seed uint64, charger *payments.HTTPProvider) {
	p.charger = charger
	times := scheduleEvenly(rand.New(rand.NewPCG(seed, 24)), p.plan.rate, p.plan.runLength())
	for _, at := range times {
		p.figs.Asked[at/binLength]++
		p.open[at/binLength]++
	}

	lastFrom := begin.Add(p.plan.runLength() - lastPart)
	ends := make(chan requestEnd, len(times))
	var noting, asking sync.WaitGroup
	noting.Go(func() { p.noteEnds(ends) })

	answered := int64(-1) // by the service until the last part
	for i, at := range times {
		if !sleep.Until(ctx, begin.Add(at)) {
			break
		}

		atEnd := !begin.Add(at).Before(lastFrom)
		if atEnd && answered < 0 {
			answered = p.service.answered.Load()
		}
		asking.Go(func() { ends <- requestEnd{int(at / binLength), p.askOnce(ctx, i, seed, atEnd) == nil} })
	}

	if answered >= 0 && sleep.Until(ctx, begin.Add(p.plan.runLength())) {
		p.answeredAtEnd = p.service.answered.Load() - answered
	}
	asking.Wait()
	close(ends)
	noting.Wait()
}

// askOnce is one rider's request: a charge, with the repetitions of the policy.
// Its reference is that of the request, so that money is taken once.
func (p *policyRun) askOnce(ctx context.Context, i int, seed uint64, atEnd bool) error {
	order := orderCharge(fmt.Sprintf("ride-%d", i))
	call := func(ctx context.Context) error {
		p.tries.Add(1)
		if atEnd {
			p.triesAtEnd.Add(1)
		}
		if _, err := p.charger.Charge(ctx, order); !errors.Is(err, payments.ErrDuplicate) {
			return err
		}
		return nil // an earlier try took the money, and this one was told so
	}

	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	switch p.number {
	case atOnce:
		return broken.RetryAtOnce(ctx, p.plan.retries, call)
	case withBackoff:
		return broken.RetryWithBackoff(ctx, p.plan.retries, 100*time.Millisecond,
			func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }, call)
	case withBudget, withBudgetNoOld:
		return retryWithinBudget(ctx, p.plan.retries, p.budget, call)
	}
	return call(ctx)
}

// retryWithinBudget makes a call, and repeats it at once while it fails, the
// retries last and the budget, which all riders share, allows it.
func retryWithinBudget(ctx context.Context, retries int, b *payments.Budget, call func(context.Context) error) error {
	b.RecordFirst(time.Now())
	err := call(ctx)
	b.RecordResult(err == nil)

	for try := 0; err != nil && try < retries && ctx.Err() == nil; try++ {
		if allowed, _ := b.AllowRetry(time.Now()); !allowed {
			break
		}
		err = call(ctx)
		b.RecordResult(err == nil)
	}
	return err
}

// requestEnd is how a request ended.
type requestEnd struct {
	bin  int
	good bool
}

// noteEnds counts how requests ended, and tells of each bin whose requests have
// all ended, in their order.
func (p *policyRun) noteEnds(ends <-chan requestEnd) {
	for end := range ends {
		p.open[end.bin]--
		if end.good {
			p.figs.Good[end.bin]++
		}

		for ; p.next < len(p.open) && p.open[p.next] == 0; p.next++ {
			p.onBin(p.next, p.figs.Asked[p.next], p.figs.Good[p.next])
		}
	}
}
