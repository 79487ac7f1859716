package postgres

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy forwards between a store and the server and breaks connections on
// request.
type proxy struct {
	testing.TB
	listener net.Listener
	to       string
	owned    sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]bool
	needle []byte // what a doomed message contains
	where  cutAt
	left   int // how many to cut
	refuse bool
}

type cutAt int

const (
	theRequest cutAt = iota // before the server has read it
	theReply                // after the server has done what was asked
)

type link struct {
	client, server net.Conn
	doomed         bool // the next reply is cut
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// startProxy starts a proxy to the server of an address and returns the address
// that leads through it.
func startProxy(t testing.TB, at string) (*proxy, string) {
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	p := &proxy{TB: t, listener: listener, to: u.Host, links: map[*link]bool{}}
	p.owned.Go(p.acceptConns)

	t.Cleanup(func() {
		listener.Close()
		p.breakAll()
		p.owned.Wait()
	})

	u.Host = listener.Addr().String()
	return p, u.String()
}

func (p *proxy) acceptConns() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}

		server, err := net.Dial("tcp", p.to)
		if err != nil {
			client.Close()
			continue
		}

		l := &link{client: client, server: server}
		p.mu.Lock()
		p.links[l] = true
		if p.refuse {
			l.close()
		}
		p.mu.Unlock()

		p.owned.Go(func() { p.copyBytes(l, client, server, p.inspectRequest) })
		p.owned.Go(func() { p.copyBytes(l, server, client, p.inspectAnswer) })
	}
}

// copyBytes copies one way as long as look lets it.
func (p *proxy) copyBytes(l *link, from io.Reader, to io.Writer, look func(*link, []byte) bool) {
	defer l.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !look(l, buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cancelRequest is the code of the message by which the driver ends a statement
// whose connection broke. It must not reach the server here.
var cancelRequest = []byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e}

func (p *proxy) inspectRequest(l *link, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if bytes.HasPrefix(b, cancelRequest) {
		return false
	}
	if p.left == 0 || !bytes.Contains(b, p.needle) {
		return true
	}

	p.left--
	l.doomed = p.where == theReply
	return l.doomed
}

func (p *proxy) inspectAnswer(l *link, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !l.doomed
}

// cutNext breaks the next n connections on which a message with this text is
// sent.
func (p *proxy) cutNext(n int, where cutAt, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.where, p.needle = n, where, []byte(text)
}

// checkAllCut checks that all cuts were made.
func (p *proxy) checkAllCut() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left != 0 {
		p.Errorf("%d cuts were not made", p.left)
	}
}

// breakAll breaks all connections.
func (p *proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
		delete(p.links, l)
	}
}

// setBlocked breaks all connections and refuses new ones, or accepts them
// again.
func (p *proxy) setBlocked(on bool) {
	p.mu.Lock()
	p.refuse = on
	p.mu.Unlock()
	if on {
		p.breakAll()
	}
}
