package races

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/internal/plot"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/broken"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/trips"
)

// Owners returns the experiment owners.
func Owners() finding.Experiment {
	return finding.Experiment{
		Name:      "owners",
		Topic:     finding.Consistency,
		Asks:      []string{"R5"},
		Question:  "What does an owner write who slept through the end of its lease?",
		Teaser:    "a lease that woke late",
		Situation: "An owner stops in mid-work, longer than its lease; another takes over; the first wakes and writes.",
		Options:   []string{"nothing: its lease is over", "a write that is taken, unless the store looks at the lease", "a write that is taken in any case"},
		Takes:     3 * time.Second, TakesDatabase: true,
		Knobs: []finding.Knob{
			{Name: "lease", Label: "Length of the lease", Help: "How long an owner may work without asking again.", Unit: "ms", Default: 100, Low: 50, High: 500, Step: 10},
			{Name: "pause", Label: "Longest stop", Help: "How long the owner stops, in the last round.", Unit: "ms", Default: 200, Low: 20, High: 1000, Step: 10},
			{Name: "rounds", Label: "Rounds", Help: "Each with a longer stop than the one before.", Default: 8, Low: 2, High: 20, Step: 1},
		},
		Real: "the outbox's lease and cursor in the app's store, on the database's clock",
		Made: "the stop, and the store without a fence",
		Code: []finding.Code{
			{File: "lab/broken/owners.go", Func: "UnfencedOutbox.AdvanceCursor", Why: "mistake"},
			{File: "store/sqlite/outbox.go", Func: "outboxStore.AdvanceCursor", Why: "fence"},
		},
		Next: "--pause 90, shorter than the lease: nothing is taken over, nothing refused",
		Frame: func(v finding.Values) plot.Chart {
			return ownerChart(ownerFigures{LeaseMs: v.Number("lease")}, v.Number("pause"))
		},
		Run: runOwners,
	}
}

// ownerFigures are what a run counted.
type ownerFigures struct {
	LeaseMs  float64      `json:"lease_ms"`
	Unfenced []ownerRound `json:"without_a_fence"`
	Fenced   []ownerRound `json:"with_a_fence"`
}

// ownerRound is one stop of an owner in mid-work.
type ownerRound struct {
	PauseMs   float64 `json:"pause_ms"`
	TakenOver bool    `json:"taken_over"` // the other one got the lease
	Accepted  bool    `json:"write_accepted"`
	WentBack  bool    `json:"cursor_went_back"`
	// Overlaps counts leases that were given while another one lasted.
	Overlaps int `json:"overlapping_leases"`
}

// isStale says whether the owner wrote after another had taken over.
func (r ownerRound) isStale() bool { return r.TakenOver && r.Accepted }

func runOwners(ctx context.Context, run *finding.Run) (found finding.Result, err error) {
	f := ownerFigures{LeaseMs: run.Number("lease")}
	db, err := openDatabase(ctx, run.Database)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, db.close()) }()

	s := &ownerScene{db: db, lease: run.Milliseconds("lease")}
	if err := s.fillShard(ctx, run.Seed); err != nil {
		return found, err
	}
	for i := range run.Int("rounds") {
		pause := choosePause(i, run.Int("rounds"), run.Milliseconds("pause"), s.lease)
		for _, fenced := range []bool{false, true} {
			r, err := s.stopOwner(ctx, pause, fenced)
			if err != nil {
				return found, err
			}
			f.addRound(r, fenced)
			stale := f.staleWrites(fenced)
			run.Point(curveName(fenced), r.PauseMs/f.LeaseMs, float64(stale[len(stale)-1]))
		}
	}

	part := db.scratch.Part
	part.Count = fmt.Sprintf("%d leases, %d writes", s.leases, s.writes)
	return finding.Result{Seen: f.optionSeen(), Table: ownerTable(f), Chart: ownerChart(f, run.Number("pause")), Claims: judgeOwners(f),
		Notice: noticeOwners(f), Parts: []finding.Part{part}, Figures: f}, nil
}

// fillShard fills one shard of the outbox with messages: the chat of a trip.
func (s *ownerScene) fillShard(ctx context.Context, seed uint64) error {
	opened, err := openTrips(ctx, s.db, seed, 1)
	if err != nil {
		return err
	}

	t := opened[0]
	s.shard = trips.ShardOf(t.Region, s.db.ShardCount())
	for i := range 3 * requests {
		m := chat.Message{Trip: t.ID, From: trips.Rider(t.Rider), ClientID: fmt.Sprint(i), Text: "are you here?", At: noon}
		if _, err := s.db.AppendChat(ctx, m, string(t.Region)); err != nil {
			return err
		}
	}
	return nil
}

// choosePause spreads the stops evenly up to the longest. One that is about as
// long as the lease becomes a fifth longer or shorter, so that a busy machine
// can tell the two apart.
func choosePause(round, rounds int, longest, lease time.Duration) time.Duration {
	pause := time.Duration((float64(round) + .5) / float64(rounds) * float64(longest))
	if pause >= lease {
		return max(pause, lease*6/5)
	}
	return min(pause, lease*4/5)
}

func (f *ownerFigures) addRound(r ownerRound, fenced bool) {
	if fenced {
		f.Fenced = append(f.Fenced, r)
	} else {
		f.Unfenced = append(f.Unfenced, r)
	}
}

// ownerScene is the store and what is asked of it.
type ownerScene struct {
	db             *database
	shard          int // of the outbox
	lease          time.Duration
	last           []lease // of the round
	leases, writes int
}

// lease is the right that a holder was given, at some moment between asked and
// given by this machine's clock.
type lease struct {
	holder       string
	asked, given time.Time
}

// The holders.
const (
	first  = "owner-1"
	second = "owner-2"
)

const maxTries = 60 // of a round that a busy machine made undecidable

// stopOwner lets an owner take the lease, read what is due and stop for a while.
// Then another one asks for the lease and, if it gets it, does the work. Then
// the first one wakes and writes. A round that the machine was too busy for is
// tried again: one in which a stop was neither surely longer nor surely shorter
// than the lease, or the other one slept through its own.
func (s *ownerScene) stopOwner(ctx context.Context, pause time.Duration, fenced bool) (ownerRound, error) {
	for range maxTries {
		r, clear, err := s.tryRound(ctx, pause, fenced)
		if err != nil || clear {
			return r, err
		}
	}
	return ownerRound{}, fmt.Errorf("this machine is too busy for a stop of %v beside a lease of %v; choose a longer --lease", pause, s.lease)
}

func (s *ownerScene) tryRound(ctx context.Context, pause time.Duration, fenced bool) (r ownerRound, clear bool, err error) {
	outbox := trips.Outbox(s.db)
	if !fenced {
		outbox = broken.UnfencedOutbox{Outbox: s.db, DB: s.db.sql}
	}

	s.last = nil
	if err := s.awaitLease(ctx, outbox); err != nil {
		return r, false, err
	}
	due, err := outbox.PendingMessages(ctx, []int{s.shard}, 2)
	if err == nil && len(due) < 2 {
		err = errors.New("the outbox shows no messages: end the long transactions on this database server")
	}
	if err != nil {
		return r, false, err
	}

	taken := s.last[0]
	if !sleep.Until(ctx, taken.given.Add(pause)) {
		return r, false, ctx.Err()
	}
	r.PauseMs = float64(pause) / 1e6
	if r.TakenOver, err = s.acquireLease(ctx, outbox, second, s.lease); err != nil {
		return r, false, err
	}
	if r.TakenOver {
		// The other one does all that is due. On a busy machine its own lease may
		// be over by then.
		if err := s.advanceCursor(ctx, outbox, second, due); err != nil {
			return r, false, ctx.Err()
		}
	}

	before, err := s.db.readCursor(ctx, s.shard)
	if err != nil {
		return r, false, err
	}
	// The first one wakes. A refusal is what a fence is for.
	r.Accepted = s.advanceCursor(ctx, outbox, first, due[:1]) == nil
	woke := time.Now()
	after, err := s.db.readCursor(ctx, s.shard)
	r.WentBack, r.Overlaps = after < before, s.countOverlaps()
	return r, s.isClear(taken, pause, woke), errors.Join(err, s.releaseLease(ctx, outbox))
}

// isClear says whether the stop was surely longer, or the whole of it surely
// shorter, than the lease, which the database's clock measures in milliseconds.
func (s *ownerScene) isClear(taken lease, pause time.Duration, woke time.Time) bool {
	if pause > s.lease {
		return true // the other one asked that long after the lease was given
	}
	return woke.Sub(taken.asked) < s.lease-2*time.Millisecond
}

// awaitLease gives the first owner the lease, once that of the round before is
// over.
func (s *ownerScene) awaitLease(ctx context.Context, outbox trips.Outbox) error {
	for {
		if got, err := s.acquireLease(ctx, outbox, first, s.lease); got || err != nil {
			return err
		}
		if !sleep.For(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (s *ownerScene) acquireLease(ctx context.Context, outbox trips.Outbox, holder string, length time.Duration) (bool, error) {
	asked := time.Now()
	holders, err := outbox.AcquireShards(ctx, trips.ShardClaim{Holder: holder, TTL: length})
	got := err == nil && holders[s.shard] == holder
	if got {
		s.leases++
		s.last = append(s.last, lease{holder, asked, time.Now()})
	}
	return got, err
}

func (s *ownerScene) advanceCursor(ctx context.Context, outbox trips.Outbox, holder string, told []trips.OutboxMessage) error {
	s.writes++
	return outbox.AdvanceCursor(ctx, holder, told)
}

// releaseLease ends the leases of the round, as a node that stops does.
func (s *ownerScene) releaseLease(ctx context.Context, outbox trips.Outbox) error {
	for _, l := range s.last {
		claim := trips.ShardClaim{Holder: l.holder, Released: trips.AllShards(outbox)}
		if _, err := outbox.AcquireShards(ctx, claim); err != nil {
			return err
		}
	}
	return nil
}

// countOverlaps counts the leases of the round that were given to one holder
// while that of another surely lasted.
func (s *ownerScene) countOverlaps() (n int) {
	for i, l := range s.last {
		for _, earlier := range s.last[:i] {
			if earlier.holder != l.holder && l.given.Before(earlier.asked.Add(s.lease)) {
				n++
			}
		}
	}
	return n
}
