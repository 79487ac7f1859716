package lab

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// postgresMeter counts what a node asks of Postgres, by the second, on the line between
// the two.
type postgresMeter struct {
	postgres int // process, to read its time of; 0: not known
	to       string
	listener net.Listener
	pipes    sync.WaitGroup

	mu      sync.Mutex // guards below
	open    []net.Conn
	since   time.Time
	counted []float64 // by the second since then
	cpu     []float64 // seconds of processors used, at the end of each second
	// closed to end the clock
	ticking chan struct{}
	clock   sync.WaitGroup
}

// step is the load of one second.
type step struct{ statements, cpus float64 }

// interpose puts the meter on the line and returns the database's address through
// it.
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

		// ends with either side
		m.pipes.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}
}

// countStatements carries messages from the node to Postgres. Each Sync or simple Query
// is a round trip, of one statement here, or of a few as one transaction.
func (m *postgresMeter) countStatements(to io.Writer, from io.Reader) {
	var head [5]byte
	// the first message has no kind
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

// restart begins to count anew.
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

// stopClock ends the clock.
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

// steps are the whole seconds since restart.
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

// summarizeLoad is the mean and the peak of some steps.
func summarizeLoad(steps []step) (mean, peak, cpu, cpuPeak float64) {
	for _, s := range steps {
		mean += s.statements / float64(len(steps))
		cpu += s.cpus / float64(len(steps))
		peak, cpuPeak = max(peak, s.statements), max(cpuPeak, s.cpus)
	}
	return roundTo(mean, 1), peak, roundTo(cpu, 3), cpuPeak
}

// close ends the lines. The node has been stopped.
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

// processorSeconds is how many seconds of processors a Postgres and its children have
// used; 0 where the system does not say.
func processorSeconds(postgres int) (seconds float64) {
	if postgres == 0 {
		return 0
	}

	// of the kernel's clock, on every Linux that Go runs on
	const perSecond = 100
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
		// state, parent, …; user and system time are the 12th and 13th
		f := strings.Fields(rest)
		if len(f) < 13 || pid != postgres && f[1] != strconv.Itoa(postgres) {
			continue
		}

		for _, ticks := range f[11:13] {
			n, err := strconv.ParseFloat(ticks, 64)
			if err == nil {
				seconds += n / perSecond
			}
		}
	}
	return seconds
}
