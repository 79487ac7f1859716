package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	bufferSize    = 256 << 10
	flushInterval = time.Second
)

// Journal writes records to a file. Its methods are safe for concurrent use. A
// nil Journal keeps nothing.
type Journal struct {
	// Fixed at creation.
	opened  time.Time
	stop    chan struct{} // Closed by Close.
	flusher sync.WaitGroup

	mu   sync.Mutex // Guards all below.
	file *os.File
	out  *bufio.Writer
	err  error // The first error. Nothing is kept after it.
}

// Create begins a journal in a new file and replaces an old file. The caller
// must call Close.
func Create(path string) (*Journal, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}

	j := &Journal{opened: time.Now(), stop: make(chan struct{}), file: f, out: bufio.NewWriterSize(f, bufferSize)}
	j.AddRecord(Record{What: Begin})
	j.flusher.Go(j.flushPeriodically)
	return j, nil
}

// AddRecord writes a record with the current time. The order of the calls is
// the order in the file. Close returns the first error.
func (j *Journal) AddRecord(r Record) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()

	now := time.Now()
	r.Mono, r.AtMs = int64(now.Sub(j.opened)), float64(now.UnixMicro())/1e3

	line, err := json.Marshal(r)
	if err == nil {
		_, err = j.out.Write(append(line, '\n'))
	}

	j.keepFirstErr(err)
}

func (j *Journal) keepFirstErr(err error) {
	if j.err == nil {
		j.err = err
	}
}

// flushPeriodically flushes every second, so that a killed process loses no
// more than its last second.
func (j *Journal) flushPeriodically() {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
			j.mu.Lock()
			j.keepFirstErr(j.out.Flush())
			j.mu.Unlock()
		}
	}
}

// Close writes the rest and returns the first error since Create.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	close(j.stop)
	j.flusher.Wait()
	j.AddRecord(Record{What: Close})
	if err := errors.Join(j.err, j.out.Flush(), j.file.Close()); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Read yields the records of a journal in order. It leaves out a last line that
// a kill left incomplete. Any other unreadable line is an error. Read stops at
// the first error of yield and returns it.
func Read(from io.Reader, yield func(Record) error) error {
	lines := bufio.NewReaderSize(from, bufferSize)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}

		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("journal: line %d: %w", n, err)
		}
		if err := yield(r); err != nil {
			return err
		}
	}
}
