package provider

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ridehail/ridehail/internal/filelock"
)

// KindRefund marks an entry that gives back what a charge took.
const KindRefund = "refund"

// Entry is one line of the ledger: a charge taken or declined under a
// reference, or a refund of it.
type Entry struct {
	ID        int64  `json:"id"`
	Kind      string `json:"kind,omitempty"` // KindRefund; empty for a charge.
	Reference string `json:"reference"`      // Of the charge, for both kinds.

	// Status is "success" or "failed" for a charge, and "processed" or "failed"
	// for a refund.
	Status          string    `json:"status"`
	Amount          int64     `json:"amount"` // Minor units.
	Currency        string    `json:"currency"`
	Email           string    `json:"email"`
	GatewayResponse string    `json:"gateway_response"`
	At              time.Time `json:"paid_at"`
}

// The errors of Append and Refund.
var (
	ErrDuplicate = errors.New("reference was used before")
	ErrMismatch  = errors.New("reference was used before for another amount")
	ErrNoCharge  = errors.New("nothing was taken under this reference")
	ErrReversed  = errors.New("all of it was given back before")
	ErrExceeds   = errors.New("more than what is left of the charge")
)

// Ledger is an append-only file of JSON lines. An entry is on disk before
// Append or Refund returns. Ledger is safe for concurrent use.
type Ledger struct {
	file *os.File // Fixed at creation; nil in memory.

	// mu guards all below. It is held while writing, so that the file has the
	// same order as the entries.
	mu                sync.Mutex
	entries           []Entry
	chargeByReference map[string]int   // Index of the charge.
	refundedMinor     map[string]int64 // By the charge's reference.

	// writeErr is the first failed write. After it the end of the file is
	// unknown, and the ledger takes no more money.
	writeErr error
}

// OpenLedger reads the ledger at path and continues it. An empty path keeps the
// ledger in memory. It cuts off a last line that a crash left incomplete, which
// was never confirmed to a client. Other unreadable lines are an error, and so
// is a ledger that another provider writes (filelock.ErrHeld).
func OpenLedger(path string) (*Ledger, error) {
	l := &Ledger{chargeByReference: map[string]int{}, refundedMinor: map[string]int64{}}
	if path == "" {
		return l, nil
	}

	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("payment ledger: %w", err)
	}

	l.file = f
	if err = filelock.LockOpen(f); err == nil {
		err = l.loadFile()
	} else if errors.Is(err, filelock.ErrHeld) {
		err = fmt.Errorf("%w by another provider: stop that one, or choose another file", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("payment ledger %s: %w", path, err), f.Close())
	}
	return l, nil
}

// loadFile reads the entries and cuts off an incomplete last line.
func (l *Ledger) loadFile() error {
	r, good := bufio.NewReader(l.file), int64(0)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // An incomplete line, or none.
			break
		}
		if err != nil {
			return err
		}

		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("line %d: %w (repair it by hand)", len(l.entries)+1, err)
		}

		l.indexEntry(e)
		good += int64(len(line))
	}

	if err := l.file.Truncate(good); err != nil {
		return err
	}
	_, err := l.file.Seek(good, io.SeekStart)
	return err
}

// indexEntry adds an entry to the maps and the list.
func (l *Ledger) indexEntry(e Entry) {
	switch {
	case e.Kind != KindRefund:
		l.chargeByReference[e.Reference] = len(l.entries)
	case e.Status != "failed":
		l.refundedMinor[e.Reference] += e.Amount
	}

	l.entries = append(l.entries, e)
}

// Append numbers the entry and writes it. A known reference changes nothing:
// Append returns its entry with ErrDuplicate, or with ErrMismatch if amount or
// currency differ.
func (l *Ledger) Append(e Entry) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.chargeByReference[e.Reference]; ok {
		was := l.entries[i]
		if was.Amount != e.Amount || was.Currency != e.Currency {
			return was, ErrMismatch
		}
		return was, ErrDuplicate
	}

	return l.appendEntryLocked(e)
}

// Refund numbers the entry and writes it. An amount of 0 means all that is
// left. It returns ErrNoCharge, ErrReversed or ErrExceeds when there is less to
// give back.
func (l *Ledger) Refund(e Entry) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	i, ok := l.chargeByReference[e.Reference]
	if !ok || l.entries[i].Status != "success" {
		return Entry{}, ErrNoCharge
	}

	charge := l.entries[i]
	left := charge.Amount - l.refundedMinor[e.Reference]
	switch {
	case left == 0:
		return Entry{}, ErrReversed
	case e.Amount == 0:
		e.Amount = left
	case e.Amount < 0 || e.Amount > left:
		return Entry{}, ErrExceeds
	}

	e.Kind, e.Currency, e.Email = KindRefund, charge.Currency, charge.Email
	return l.appendEntryLocked(e)
}

// appendEntryLocked numbers and writes an entry. The caller holds mu.
func (l *Ledger) appendEntryLocked(e Entry) (Entry, error) {
	if l.writeErr != nil {
		return Entry{}, l.writeErr
	}
	e.ID = int64(len(l.entries)) + 1
	if l.writeErr = l.writeLine(e); l.writeErr != nil {
		return Entry{}, l.writeErr
	}
	l.indexEntry(e)
	return e, nil
}

// writeLine writes one line and flushes it to the disk.
func (l *Ledger) writeLine(e Entry) error {
	if l.file == nil {
		return nil
	}

	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

// FindCharge returns the charge under a reference. Its status is "reversed"
// when all of it was given back.
func (l *Ledger) FindCharge(reference string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	i, ok := l.chargeByReference[reference]
	if !ok {
		return Entry{}, false
	}

	e := l.entries[i]
	if e.Status == "success" && l.refundedMinor[reference] == e.Amount {
		e.Status = "reversed"
	}
	return e, true
}

// RefundsOf returns the refunds of the charge with an id, newest first.
func (l *Ledger) RefundsOf(charge int64) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()

	found := []Entry{}
	if charge < 1 || charge > int64(len(l.entries)) {
		return found
	}

	for _, e := range slices.Backward(l.entries) {
		if e.Kind == KindRefund && e.Reference == l.entries[charge-1].Reference {
			found = append(found, e)
		}
	}

	return found
}

// Entries returns a copy of the ledger in order.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Close closes the file.
func (l *Ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
