package distance

import (
	"bufio"
	"context"
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
	"github.com/ridehail/ridehail/lab/line"
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
	s.address, s.user, s.db = u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	s.password, _ = u.User.Password()
	if u.Port() == "" {
		s.address = net.JoinHostPort(u.Hostname(), "6379")
	}
	return s, nil
}

// asker keeps a window of requests outstanding on one connection. A client of
// the app's kind waits for each answer; this one shows what waiting costs.
type asker struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	key  string
}

// dialRedis connects through a line and keeps a position of 24 bytes to ask
// for, which ends by itself.
func dialRedis(ctx context.Context, s redisServer, through *line.Line) (*asker, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", through.Address())
	if err != nil {
		return nil, err
	}
	a := &asker{conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn), key: "ridehail-lab-" + rand.Text()}

	commands := [][]string{{"SET", a.key, strings.Repeat("p", 24), "EX", "120"}}
	if s.db != "" {
		commands = append([][]string{{"SELECT", s.db}}, commands...)
	}
	if s.password != "" {
		login := []string{"AUTH", s.password}
		if s.user != "" {
			login = []string{"AUTH", s.user, s.password}
		}
		commands = append([][]string{login}, commands...)
	}
	for _, c := range commands {
		a.write(c...)
		if err = errors.Join(err, a.out.Flush(), a.readReply()); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c[0], err), conn.Close())
		}
	}
	return a, nil
}

// write buffers a command (RESP: an array of bulk strings).
func (a *asker) write(words ...string) {
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
		a.write("GET", a.key)
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
				a.write("GET", a.key)
			}
			if a.in.Buffered() == 0 {
				if err := a.out.Flush(); err != nil {
					return 0, err
				}
			}
		}
	}

	for i := stretch; i < len(ends); i++ {
		took := ends[i].Sub(ends[i-stretch]).Seconds()
		perSecond = max(perSecond, float64(stretch*window)/took)
	}
	return perSecond, nil
}
