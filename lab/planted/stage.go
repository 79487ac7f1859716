package planted

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
)

// The processes of a history, besides the phones, which have people's names.
const (
	node     = "node"
	database = "database"
	relay    = "relay"
	queue    = "queue"
	worker   = "worker"
	payer    = "provider"
)

const (
	stream = "settlements"
	mark   = "mark" // topic: all messages before it have arrived

	// patience is how long a phone waits for an answer. It matters only where
	// none can come.
	patience = 2 * time.Second
	// stuckAfter bounds each wait for something that must happen.
	stuckAfter = 30 * time.Second
)

// stage runs one history on real parts: the store, the trip service, the relay,
// the queue, its worker, the settler, and the provider's emulator with its own
// ledger. Phones keep a journal. Its methods belong to one goroutine, except
// those of handlers.
type stage struct {
	cfg    Config
	lesson *Lesson
	dir    string
	url    string // of the database
	trace  *trace
	end    []func() // undo the steps of open, in reverse order

	store        store.Store // nil while a process of its own has the file
	service      *trips.Service
	child        *childNode // nil: the node is in this process
	redis        *events.Redis
	kept         *journal.Journal
	closeJournal func() error // once
	payAt        string       // URL of the provider

	held *heldCommand
	// answered are the commands that were done since the node's start, in a
	// process of its own.
	answered []trips.IdempotencyKey

	// Set by a step for the next command.
	killNext, holdNext bool

	mu         sync.Mutex // guards below
	trips      map[trips.RiderID]trips.TripID
	named      []trips.TripID // in the order of their requests
	phones     map[trips.Actor]bool
	marked     map[string]bool
	looks      int             // of the relay at the outbox, begun
	begun      map[string]bool // jobs that a worker had
	inHand     int             // jobs
	finished   int             // jobs
	acked      int             // jobs, as far as the history tells
	dieNext    bool
	loseAnswer bool
}

// heldCommand is a command whose commit is held back.
type heldCommand struct {
	commit *lateCommit
	done   chan struct{} // closed when its phone has the answer
}

// openStage prepares a history. The caller closes the stage, also after an
// error.
func openStage(ctx context.Context, cfg Config, l *Lesson, server string) (*stage, error) {
	s := &stage{cfg: cfg, lesson: l, trace: new(trace), trips: map[trips.RiderID]trips.TripID{},
		phones: map[trips.Actor]bool{}, marked: map[string]bool{}, begun: map[string]bool{}}

	var err error
	if s.dir, err = os.MkdirTemp("", "ridehail-lab."); err != nil {
		return s, err
	}
	s.end = append(s.end, func() { _ = os.RemoveAll(s.dir) })

	db, err := scratch.Create(ctx, server)
	if err != nil {
		return s, err
	}
	s.url, s.end = db.URL, append(s.end, func() { _ = db.Close() })

	if s.kept, err = journal.Create(s.journalFile()); err != nil {
		return s, err
	}
	s.closeJournal = sync.OnceValue(s.kept.Close)
	s.end = append(s.end, func() { _ = s.closeJournal() })

	if s.redis, err = events.OpenEmbedded(events.WithLog(slog.New(slog.DiscardHandler))); err != nil {
		return s, err
	}
	s.end = append(s.end, func() { _ = s.redis.Close() })

	if err := s.openProvider(); err != nil {
		return s, err
	}
	if err := s.listen(ctx); err != nil {
		return s, err
	}

	if l.killable {
		s.child, err = startNode(cfg.StartNode, s.url)
		return s, err
	}
	return s, s.openStore(ctx)
}

func (s *stage) journalFile() string { return filepath.Join(s.dir, "journal.jsonl") }
func (s *stage) ledgerFile() string  { return filepath.Join(s.dir, "ledger.jsonl") }

// close ends everything, the newest first.
func (s *stage) close() {
	if s.child != nil {
		s.child.kill()
	}
	if s.held != nil {
		s.held.commit.release(context.Background())
		<-s.held.done
	}

	for i := len(s.end) - 1; i >= 0; i-- {
		s.end[i]()
	}
}

// openStore opens the database in this process and begins to relay.
func (s *stage) openStore(ctx context.Context) error {
	kept, closeStore, err := store.Open(ctx, s.url, store.Options{MaxConns: 4, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s.end = append(s.end, func() { _ = closeStore() })
	s.store, s.service = kept, &trips.Service{Store: tracedStore{kept, s}, Now: time.Now}

	relay := events.NewRelay(s.redis, tracedOutbox{kept, s}, events.RelayConfig{Node: "n", PollInterval: 5 * time.Millisecond,
		Streams: map[trips.Kind]string{trips.KindCompleted: stream}})
	s.goRun(ctx, relay.Run)
	return nil
}

// goRun runs until the stage is closed.
func (s *stage) goRun(ctx context.Context, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = run(ctx) })
	s.end = append(s.end, func() { cancel(); wait.Wait() })
}

// listen hands what is published to the phones, from its return on.
func (s *stage) listen(ctx context.Context) error {
	region, err := location.RegionOf(marina)
	if err != nil {
		return err
	}
	news := s.redis.NewListener(events.ListenerConfig{Name: "news", Node: "n", Handler: s})
	news.Follow(events.OldRegionChannel(region))
	s.goRun(ctx, news.Run)
	return s.awaitMessages(ctx, "the subscription")
}

// awaitThat waits for something that must happen.
func (s *stage) awaitThat(ctx context.Context, what string, ok func() bool) error {
	for late := time.Now().Add(stuckAfter); !ok(); {
		if time.Now().After(late) {
			return fmt.Errorf("the lesson is stuck: %s did not happen within %v", what, stuckAfter)
		}
		if !sleep.For(ctx, 2*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// awaitMessages waits until all messages published so far have arrived. Each
// call has a name of its own.
func (s *stage) awaitMessages(ctx context.Context, name string) error {
	region, err := location.RegionOf(marina)
	if err != nil {
		return err
	}
	return s.awaitThat(ctx, "a message's arrival", func() bool {
		_ = s.redis.Publish(ctx, events.OldRegionChannel(region), events.Message{Topic: mark, Region: region, Payload: []byte(name)})
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.marked[name]
	})
}

// drainOutbox waits until the outbox is empty and its messages have arrived.
func (s *stage) drainOutbox(ctx context.Context) error {
	err := s.awaitThat(ctx, "an empty outbox", func() bool {
		left, _, err := s.store.Backlog(ctx)
		return err == nil && left == 0
	})
	if err != nil {
		return err
	}
	return s.awaitMessages(ctx, time.Now().String())
}

// finishWork ends all work after the last step: commits, messages, jobs.
func (s *stage) finishWork(ctx context.Context) error {
	if s.child != nil {
		if err := s.awaitRecords(ctx); err != nil {
			return err
		}
		s.child.stop()
		s.child = nil
		if err := s.openStore(ctx); err != nil {
			return err
		}
		s.traceRecords(ctx)
	}

	if err := s.releaseHeld(ctx); err != nil {
		return err
	}
	if err := s.drainOutbox(ctx); err != nil { // all jobs are queued before any is done
		return err
	}
	if err := s.doJobs(ctx); err != nil {
		return err
	}
	return s.drainOutbox(ctx)
}

// judgeHistory asks the checker of a chaos run, which knows only what was
// recorded.
func (s *stage) judgeHistory(ctx context.Context) (check.Report, error) {
	if err := s.closeJournal(); err != nil {
		return check.Report{}, err
	}
	return check.Run(ctx, check.Evidence{DB: s.store, Commands: s.store, Grace: time.Nanosecond,
		Journals: []string{s.journalFile()}, Ledger: s.ledgerFile()})
}
