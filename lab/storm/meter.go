package storm

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// stepLength is how finely a storm is looked at.
const stepLength = 100 * time.Millisecond

// stepCounter counts by steps since it was restarted. It is safe for any
// goroutine.
type stepCounter struct {
	mu      sync.Mutex // guards the fields below
	since   time.Time
	counted []int
}

func (c *stepCounter) addStep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return
	}

	step := int(time.Since(c.since) / stepLength)
	for len(c.counted) <= step {
		c.counted = append(c.counted, 0)
	}
	c.counted[step]++
}

// restartCount returns the counts of the first n steps since the last restart,
// and begins anew.
func (c *stepCounter) restartCount(n int) []int {
	c.mu.Lock()
	defer c.mu.Unlock()

	out := make([]int, n)
	copy(out, c.counted)
	c.since, c.counted = time.Now(), nil
	return out
}

// statementMeter is a proxy between a node and Postgres that counts statements.
type statementMeter struct {
	stepCounter
	to       string
	listener net.Listener
	pipes    sync.WaitGroup

	openMu sync.Mutex
	open   []net.Conn
}

// interposeLine starts the proxy and returns the database's URL through it.
func (m *statementMeter) interposeLine(database string) (string, error) {
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

func (m *statementMeter) acceptConns() {
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

		m.openMu.Lock()
		m.open = append(m.open, near, far)
		m.openMu.Unlock()
		m.pipes.Go(func() { m.countStatements(far, near); _ = far.Close() })

		// It ends with either side.
		m.pipes.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}
}

// countStatements copies messages from the node to Postgres and counts each
// Sync or simple Query. It is a round trip of one statement, or of a few in one
// transaction.
func (m *statementMeter) countStatements(to io.Writer, from io.Reader) {
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
			m.addStep()
		}
		if _, err := to.Write(head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return
		}
	}
}

// close ends the proxy's connections. The node must have stopped.
func (m *statementMeter) close() {
	if m.listener == nil {
		return
	}

	_ = m.listener.Close()
	m.openMu.Lock()
	for _, c := range m.open {
		_ = c.Close()
	}
	m.openMu.Unlock()

	m.pipes.Wait()
}
