package main

import (
	"net"
	"sync"
	"testing"
)

// startSilentServer accepts connections and never answers. Call end to stop it.
func startSilentServer(t *testing.T, address string) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}

	taken := make(chan []net.Conn)
	go func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				taken <- conns
				return
			}
			conns = append(conns, c)
		}
	}()

	return func() {
		l.Close()
		for _, c := range <-taken {
			c.Close()
		}
	}
}

// severableLine is a proxy to a server that can be cut without closing a
// connection: neither side is told, and nothing arrives. Connections of before
// the cut stay silent for ever.
type severableLine struct {
	to   string
	over chan struct{} // closed when the test ends

	mu    sync.Mutex // guards below
	era   int        // of the connections that pass; 0 while the way is cut
	eras  int
	conns []net.Conn
}

// openSeverableLine returns the address of this side.
func openSeverableLine(t *testing.T, to string) (s *severableLine, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	s = &severableLine{to: to, over: make(chan struct{}), era: 1, eras: 1}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			pipes.Go(func() { s.carry(near, &pipes) })
		}
	})

	t.Cleanup(func() {
		l.Close()
		close(s.over)
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		pipes.Wait()
	})

	return s, l.Addr().String()
}

func (s *severableLine) cut() { s.set(0) }

func (s *severableLine) mend() { s.set(1) }

func (s *severableLine) set(step int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eras++
	s.era = s.eras * step
}

func (s *severableLine) keep(c net.Conn) (era int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return s.era
}

func (s *severableLine) carry(near net.Conn, pipes *sync.WaitGroup) {
	era := s.keep(near)
	if era == 0 {
		return // until the end
	}

	far, err := net.Dial("tcp", s.to)
	if err != nil {
		near.Close()
		return
	}

	s.keep(far)
	pipes.Go(func() { s.pipe(far, near, era) })
	s.pipe(near, far, era)
}

func (s *severableLine) pipe(to, from net.Conn, era int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		s.mu.Lock()
		cut := s.era != era
		s.mu.Unlock()

		if cut {
			// This holds also if from has closed: the other side must not
			// notice.
			<-s.over
			return
		}

		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}
