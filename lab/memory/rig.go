package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/ridehail/ridehail/lab/finding"
)

// errWrongAnswer means that a rung answered something else than it was asked.
var errWrongAnswer = errors.New("the answer is not the one that was asked for")

// ladderRig is what the rungs stand on. Its methods belong to one goroutine,
// except onClose.
type ladderRig struct {
	ctx    context.Context
	run    *finding.Run
	folder string // temporary
	rungs  []rung
	seen   []byte // the snapshot that was read last, so that it is read at all
	where  []finding.Part

	running sync.WaitGroup // goroutines that end once all is closed
	mu      sync.Mutex     // guards below
	closers []func() error // the last is called first
	closed  bool
}

// answerSizes are those of a position and of the large answer.
func (r *ladderRig) answerSizes() []int { return []int{small, r.run.Int("bytes")} }

// openRig starts all that the rungs need. The caller calls close in any case.
func (r *ladderRig) openRig() (err error) {
	if r.folder, err = os.MkdirTemp("", "ridehail-ladder-"); err != nil {
		return err
	}
	r.onClose(func() error { return os.RemoveAll(r.folder) })
	r.rungs = r.memoryRungs()

	for _, add := range []func() ([]rung, error){r.socketRungs, r.redisRungs, r.storeRungs, r.nodeRungs} {
		added, err := add()
		if err != nil {
			return err
		}
		r.rungs = append(r.rungs, added...)
	}
	slices.SortStableFunc(r.rungs, func(a, b rung) int {
		return cmp.Or(bandRank(a.band)-bandRank(b.band), nameRank(a.name)-nameRank(b.name))
	})
	return nil
}

func bandRank(b band) int { return slices.Index([]band{inMemory, byChannel, byKernel, byDisk}, b) }

// nameRank puts a person's own servers last of their band.
func nameRank(name string) int {
	for i, usual := range usualRungs {
		if usual.name == name {
			return i
		}
	}
	return len(usualRungs)
}

// onClose adds what close has to call. After close it is called at once.
func (r *ladderRig) onClose(call func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = call() // a connection that came while the rest was closed
		return
	}
	r.closers = append(r.closers, call)
}

// close ends all that was opened, the last first, and waits for it.
func (r *ladderRig) close() (err error) {
	r.mu.Lock()
	closers := r.closers
	r.closers, r.closed = nil, true
	r.mu.Unlock()

	for _, call := range slices.Backward(closers) {
		err = errors.Join(err, call())
	}
	r.running.Wait()
	if err != nil {
		return fmt.Errorf("take the ladder down: %w", err)
	}
	return nil
}

func (r *ladderRig) addPart(name, where string) {
	r.where = append(r.where, finding.Part{Name: name, Where: where})
}

func (r *ladderRig) listParts() []finding.Part { return r.where }
