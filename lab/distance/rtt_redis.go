package distance

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
)

// redisServer is where a Redis listens, and how to get in.
type redisServer struct {
	address            string
	user, password, db string
}

func parseRedis(text string) (s redisServer, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "redis" || u.Host == "" {
		return s, fmt.Errorf("%w: --redis: want redis://HOST:PORT/DB", finding.ErrUsage)
	}
	s.address, s.user, s.db = hostPort(u), u.User.Username(), strings.TrimPrefix(u.Path, "/")
	s.password, _ = u.User.Password()
	return s, nil
}

// hostPort returns a server's HOST:PORT. Without a port it is the usual one of
// the scheme.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	usual := map[string]string{"redis": "6379", "postgres": "5432", "postgresql": "5432"}
	return net.JoinHostPort(u.Hostname(), usual[u.Scheme])
}

// asker keeps a window of requests outstanding on one connection. A client of
// the app's kind waits for each answer; this one shows what waiting costs.
type asker struct {
	in  *bufio.Reader
	out *bufio.Writer
	key string
}

// newAsker logs in on a connection and keeps a position of 24 bytes to ask for,
// which ends by itself.
func newAsker(conn net.Conn, s redisServer) (*asker, error) {
	a := &asker{in: bufio.NewReader(conn), out: bufio.NewWriter(conn), key: "ridehail-lab-" + rand.Text()}

	var commands [][]string
	switch {
	case s.user != "" && s.password != "":
		commands = append(commands, []string{"AUTH", s.user, s.password})
	case s.password != "":
		commands = append(commands, []string{"AUTH", s.password})
	}
	if s.db != "" {
		commands = append(commands, []string{"SELECT", s.db})
	}
	commands = append(commands, []string{"SET", a.key, strings.Repeat("p", 24), "EX", "120"})

	for _, c := range commands {
		a.writeCommand(c...)
		if err := errors.Join(a.out.Flush(), a.readReply()); err != nil {
			return nil, fmt.Errorf("%s: %w", c[0], err)
		}
	}
	return a, nil
}

// writeCommand buffers a command (RESP: an array of bulk strings).
func (a *asker) writeCommand(words ...string) {
	fmt.Fprintf(a.out, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(a.out, "$%d\r\n%s\r\n", len(w), w)
	}
}

// readReply reads one reply, which must not be an error or nothing.
func (a *asker) readReply() error {
	head, err := a.in.ReadString('\n')
	if err != nil {
		return err
	}

	head = strings.TrimSpace(head)
	switch {
	case strings.HasPrefix(head, "+"):
		return nil
	case strings.HasPrefix(head, "$"):
		if size, err := strconv.Atoi(head[1:]); err == nil && size >= 0 {
			_, err = a.in.Discard(size + len("\r\n"))
			return err
		}
	}
	return fmt.Errorf("the server answers %q: %w", head, io.ErrUnexpectedEOF)
}

// stretch is how many round trips the throughput is taken over: the best ones
// of a run, as the machine has better and worse moments.
const stretch = 5

// ask keeps window requests outstanding for a number of round trips and returns
// the answers a second of the best stretch. No answer can come sooner than one
// round trip after its request, so that no stretch beats window / round trip.
func (a *asker) ask(window, turns int) (perSecond float64, err error) {
	for range window {
		a.writeCommand("GET", a.key)
	}
	if err := a.out.Flush(); err != nil {
		return 0, err
	}

	var ends []time.Time // of each turn, before the next request of its last answer
	for turn := range turns {
		for n := range window {
			if err := a.readReply(); err != nil {
				return 0, err
			}
			if n == window-1 {
				ends = append(ends, time.Now())
			}
			if turn < turns-1 {
				a.writeCommand("GET", a.key)
			}
			if a.in.Buffered() == 0 {
				if err := a.out.Flush(); err != nil {
					return 0, err
				}
			}
		}
	}

	return bestRate(ends, window), nil
}

// bestRate returns the answers a second of the best stretch, where each turn
// brought some.
func bestRate(ends []time.Time, answers int) (perSecond float64) {
	for i := stretch; i < len(ends); i++ {
		took := ends[i].Sub(ends[i-stretch]).Seconds()
		perSecond = max(perSecond, float64(stretch*answers)/took)
	}
	return perSecond
}
