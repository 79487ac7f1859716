package storm

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// postgresMeter is a proxy between a node and Postgres that counts statements
// by the second.
type postgresMeter struct {
	// postgres is the PID whose processor time is read; 0 if it is not known.
	postgres int
	to       string
	listener net.Listener
	pipes    sync.WaitGroup
	clock    sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	open    []net.Conn
	since   time.Time
	counted []float64     // statements, by the second since then
	cpu     []float64     // processor seconds used by the end of each second
	ticking chan struct{} // closed to stop the clock
}

// step is the load of one second.
type step struct{ statements, cpus float64 }

// interpose starts the proxy and returns the database's URL through it.
func (m *postgresMeter) interpose(database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("address of the database: %w", err)
	}

	q := u.Query()
	q.Set("sslmode", "disable") // or there would be nothing to count
	u.RawQuery = q.Encode()
	m.to = u.Host
	if u.Port() == "" {
		m.to = net.JoinHostPort(u.Hostname(), "5432")
	}
	if m.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return "", err
	}

	m.pipes.Go(m.acceptConns)
	u.Host = m.listener.Addr().String()
	return u.String(), nil
}

func (m *postgresMeter) acceptConns() {
	for {
		near, err := m.listener.Accept()
		if err != nil {
			return // closed
		}

		far, err := net.Dial("tcp", m.to)
		if err != nil {
			_ = near.Close()
			continue
		}

		m.mu.Lock()
		m.open = append(m.open, near, far)
		m.mu.Unlock()
		m.pipes.Go(func() { m.countStatements(far, near); _ = far.Close() })

		// It ends with either side.
		m.pipes.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}
}

// countStatements copies messages from the node to Postgres and counts each
// Sync or simple Query. It is a round trip of one statement, or of a few in one
// transaction.
func (m *postgresMeter) countStatements(to io.Writer, from io.Reader) {
	var head [5]byte
	// The first message has no kind byte.
	if _, err := io.ReadFull(from, head[:4]); err != nil {
		return
	}
	if _, err := to.Write(head[:4]); err != nil {
		return
	}
	if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(head[:4]))-4); err != nil {
		return
	}

	for {
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		if head[0] == 'S' || head[0] == 'Q' {
			m.addStatement()
		}
		if _, err := to.Write(head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return
		}
	}
}

func (m *postgresMeter) addStatement() {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.since.IsZero() {
		return
	}
	second := int(time.Since(m.since) / time.Second)
	for len(m.counted) <= second {
		m.counted = append(m.counted, 0)
	}
	m.counted[second]++
}

// restart resets the counts.
func (m *postgresMeter) restart() {
	m.stopClock()
	m.mu.Lock()
	m.since, m.counted, m.cpu, m.ticking = time.Now(), nil, []float64{processorSeconds(m.postgres)}, make(chan struct{})
	since, ticking := m.since, m.ticking
	m.mu.Unlock()

	m.clock.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-ticking:
				return
			case <-time.After(time.Until(since.Add(time.Duration(n) * time.Second))):
			}

			used := processorSeconds(m.postgres)
			m.mu.Lock()
			m.cpu = append(m.cpu, used)
			m.mu.Unlock()
		}
	})
}

// stopClock waits until the clock's goroutine has ended.
func (m *postgresMeter) stopClock() {
	m.mu.Lock()
	if m.ticking != nil {
		close(m.ticking)
		m.ticking = nil
	}
	m.mu.Unlock()
	m.clock.Wait()
}

func (m *postgresMeter) startedAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since
}

// steps returns the loads of the whole seconds since restart.
func (m *postgresMeter) steps() (out []step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range int(time.Since(m.since) / time.Second) {
		var s step
		if i < len(m.counted) {
			s.statements = m.counted[i]
		}
		if i+1 < len(m.cpu) {
			s.cpus = roundTo(max(0, m.cpu[i+1]-m.cpu[i]), 2)
		}
		out = append(out, s)
	}

	return out
}

// summarizeLoad returns the mean and the peak of some steps.
func summarizeLoad(steps []step) (mean, peak, cpu, cpuPeak float64) {
	for _, s := range steps {
		mean += s.statements / float64(len(steps))
		cpu += s.cpus / float64(len(steps))
		peak, cpuPeak = max(peak, s.statements), max(cpuPeak, s.cpus)
	}
	return roundTo(mean, 1), peak, roundTo(cpu, 3), cpuPeak
}

// close ends the proxy's connections. The node must have stopped.
func (m *postgresMeter) close() {
	m.stopClock()
	if m.listener == nil {
		return
	}
	_ = m.listener.Close()
	m.mu.Lock()
	for _, c := range m.open {
		_ = c.Close()
	}
	m.mu.Unlock()
	m.pipes.Wait()
}

// processorSeconds returns the processor time of Postgres and its children, or
// 0 on a system without /proc.
func processorSeconds(postgres int) (seconds float64) {
	if postgres == 0 {
		return 0
	}

	const ticksPerSecond = 100 // USER_HZ on every Linux that Go runs on
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}

	for _, d := range all {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}

		text, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}

		_, rest, _ := strings.Cut(string(text), ") ")
		// The fields are state, parent, …; the 12th and 13th are user and
		// system time.
		f := strings.Fields(rest)
		if len(f) < 13 || pid != postgres && f[1] != strconv.Itoa(postgres) {
			continue
		}

		for _, ticks := range f[11:13] {
			n, err := strconv.ParseFloat(ticks, 64)
			if err == nil {
				seconds += n / ticksPerSecond
			}
		}
	}
	return seconds
}

func roundTo(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}
