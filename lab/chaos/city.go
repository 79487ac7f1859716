package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
)

const (
	providerSecret = "sk_chaos"
	startWithin    = 60 * time.Second
	stopWithin     = 15 * time.Second // a node drains for ten
	answerWithin   = time.Second
	riderProcesses = "riders"
)

// city is all the processes of a run, and the lines between them.
type city struct {
	cfg      Config
	dir      string
	guard    *guard
	postgres *service
	redis    *service
	provider *service
	nodes    []*node
	crowds   []*crowd
	intruder *crowd          // nil before it was let loose
	disk     *disk           // of Postgres' data; nil when it cannot be filled
	leftOut  map[Kind]string // what cannot be broken here, and why

	database    string // past all proxies
	providerURL string // likewise
	ledger      string // the provider's file
	keepers     *errgroup.Group
	life        context.Context // of the keepers
	leave       context.CancelFunc
}

// node is one of ours with the proxies around it.
type node struct {
	*service
	listen string // past the proxy
	admin  string
	links  map[Line]*link
}

const clockOffset = "--clock-offset="

// setClock takes effect when the node starts again. The offset is the last argument.
func (n *node) setClock(off time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.args = append(slices.Clone(n.args[:len(n.args)-1]), clockOffset+off.String())
}

// door is where phones go.
func (n *node) door() string { return "http://" + n.links[LinePhones].address }

// crowd is a process of simulators, and what it printed in the end.
type crowd struct {
	*process
	out bytes.Buffer // read it after the process has ended
}

// newCity starts everything but the crowds and waits until it serves. Close what it returns, also beside an error.
func newCity(ctx context.Context, cfg Config) (c *city, err error) {
	c = &city{cfg: cfg, leave: func() {}, leftOut: map[Kind]string{}, keepers: new(errgroup.Group)}
	if c.dir, err = os.MkdirTemp("", "ridehail-chaos."); err != nil {
		return c, err
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { // the user postgres passes through it
		return c, err
	}
	if c.guard, err = newGuard(c.dir); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()
	at, err := freeAddresses(3 + 2*cfg.Nodes)
	if err != nil {
		return c, err
	}
	if err := c.furnish(ctx, at); err != nil {
		return c, err
	}
	c.life, c.leave = context.WithCancel(context.WithoutCancel(ctx))
	services := []*service{c.postgres, c.redis, c.provider}
	for _, n := range c.nodes {
		services = append(services, n.service)
	}
	for i, s := range services {
		c.keepers.Go(func() error { return s.keep(c.life) })
		if i < 2 || i == len(services)-1 { // nodes need the stores; among themselves they need no order
			if err := s.await(ctx); err != nil {
				return c, err
			}
		}
	}
	for _, s := range services {
		if err := s.await(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// furnish prepares the services and opens the lines, and starts nothing yet.
func (c *city) furnish(ctx context.Context, at []string) error {
	pg, redis, provider := at[0], at[1], at[2]
	if err := c.preparePostgres(ctx, pg); err != nil {
		return err
	}
	if err := c.prepareRedis(redis); err != nil {
		return err
	}
	c.ledger = c.dir + "/ledger.jsonl"
	c.provider = c.program("payments", httpAnswers("http://"+provider+"/healthz"), "payments", "--listen", provider,
		"--ledger", c.ledger, "--secret", providerSecret, "--seed", strconv.FormatUint(c.cfg.Seed, 10),
		"--lose-reply", "0.1", "--error-500", "0.1", "--hang", "0.4", "--hang-for", "1s",
		"--webhook", "http://"+at[3]+"/v1/payments/webhook", "--duplicate-hook", "0.2", "--late-hook", "0.2", "--late-by", "3s",
		"--reorder-hook", "0.2")
	for i, skew := range skews(c.cfg.Seed, c.cfg.Nodes) {
		n := &node{listen: at[3+2*i], admin: at[4+2*i], links: map[Line]*link{}}
		c.nodes = append(c.nodes, n)
		name := fmt.Sprintf("node-%d", i+1)
		ends := map[Line]string{LinePhones: n.listen, LinePostgres: pg, LineRedis: redis, LineProvider: provider}
		for line, to := range ends {
			l, err := newLink(name+" "+string(line), to)
			if err != nil {
				return err
			}
			n.links[line] = l
		}
		n.service = c.program(name, httpAnswers("http://"+n.listen+"/readyz"), "serve", "--dev-tokens", "--name", name,
			"--listen", n.listen, "--admin", n.admin, "--speed", decimal(c.cfg.Speed),
			"--database", databaseURL(n.links[LinePostgres].address), "--redis", "redis://"+n.links[LineRedis].address+"/0",
			"--provider", "http://"+n.links[LineProvider].address, "--provider-secret", providerSecret,
			clockOffset+skew.String())
	}
	c.database, c.providerURL = databaseURL(pg), "http://"+provider
	return nil
}

func databaseURL(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable"
}

// program is a service that is another process of this program.
func (c *city) program(name string, ready func(context.Context) bool, args ...string) *service {
	return newService(command{name: name, path: c.cfg.Program, args: args, dir: c.dir}, c.guard, ready)
}

// journal is the file of what the phones of a crowd saw and did.
func (c *city) journal(crowd string) string { return c.dir + "/" + crowd + ".journal" }

func decimal(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// populate lets drivers and riders loose, some of each at every node, and an operator who sees to their calls for help and
// gives some fares back, and an intruder.
func (c *city) populate() error {
	for i := range c.nodes {
		for _, who := range []struct {
			role  string
			count int
			more  []string
		}{
			{"drivers", c.cfg.Drivers, []string{"--rate", "3"}},
			{riderProcesses, c.cfg.Riders, []string{"--per-minute", decimal(float64(c.cfg.Riders) / 8)}},
		} {
			share := max(1, who.count/len(c.nodes))
			name := fmt.Sprintf("%s-%d", who.role, i+1)
			args := append([]string{who.role, "--server", c.doors(i), "--flaky", "--json", "--speed", decimal(c.cfg.Speed),
				"--sos", "0.1",
				"--count", strconv.Itoa(share), "--prefix", fmt.Sprintf("%c%d", who.role[0], i+1),
				"--journal", c.journal(name), "--seed", strconv.FormatUint(c.cfg.Seed+uint64(i), 10)}, who.more...)
			if err := c.crowd(name, args); err != nil {
				return err
			}
		}
	}
	args := []string{"operators", "--json", "--journal", c.journal("operators"), "--seed", strconv.FormatUint(c.cfg.Seed, 10),
		"--refund", "0.2", "--database", c.database, "--provider", c.providerURL, "--provider-secret", providerSecret}
	for _, n := range c.nodes {
		args = append(args, "--admin", "http://"+n.admin)
	}
	if err := c.crowd("operators", args); err != nil {
		return err
	}
	if err := c.intrude(); err != nil {
		return err
	}
	return c.inhabited()
}

// inhabited waits until every crowd has begun its journal: one that is still on its way in takes a fault for a node that
// is not there.
func (c *city) inhabited() error {
	late := time.Now().Add(startWithin)
	for _, w := range append(slices.Clone(c.crowds), c.intruder) {
		for {
			if _, err := os.Stat(c.journal(w.name)); err == nil {
				break
			}
			if !w.alive() || time.Now().After(late) || !sleep.For(c.life, lookEvery) {
				return fmt.Errorf("%s did not begin; see %s/%s.log", w.name, c.dir, w.name)
			}
		}
	}
	return nil
}

func (c *city) crowd(name string, args []string) error {
	w := new(crowd)
	var err error
	w.process, err = start(command{name: name, path: c.cfg.Program, args: args, dir: c.dir, out: &w.out}, c.guard)
	if err == nil {
		c.crowds = append(c.crowds, w)
	}
	return err
}

// doors are all nodes' doors for phones, from one node on.
func (c *city) doors(first int) string {
	var out []string
	for i := range c.nodes {
		out = append(out, c.nodes[(first+i)%len(c.nodes)].door())
	}
	return strings.Join(out, ",")
}

// disperse ends the crowds, riders first, and says which did not end well.
func (c *city) disperse() (odd []string) {
	if !c.intruder.alive() {
		odd = append(odd, fmt.Sprintf("the intruder ended by itself: %v", c.intruder.err))
	}
	_ = c.intruder.stop(stopWithin)
	for _, riders := range []bool{true, false} {
		var team errgroup.Group
		for _, w := range c.crowds {
			if (w.name[:len(riderProcesses)] == riderProcesses) != riders {
				continue
			}
			if !w.alive() {
				odd = append(odd, fmt.Sprintf("%s ended by itself: %v", w.name, w.err))
			}
			team.Go(func() error { _ = w.stop(stopWithin); return nil }) // what it says is read by the check
		}
		_ = team.Wait()
	}
	return odd
}

// close ends everything that runs and says what ended badly. The folder is removed unless it is kept.
func (c *city) close(keep bool) error {
	var errs []error
	c.leave()
	errs = append(errs, c.keepers.Wait())
	for _, w := range append(slices.Clone(c.crowds), c.intruder) {
		if w != nil && w.alive() {
			w.kill()
		}
	}
	var team errgroup.Group
	for _, n := range c.nodes {
		if n.service != nil {
			team.Go(func() error { return n.stop(stopWithin) })
		}
	}
	errs = append(errs, team.Wait())
	for _, s := range []*service{c.provider, c.redis, c.postgres} { // Postgres calls this its fast shutdown
		if s != nil {
			errs = append(errs, s.stop(stopWithin))
		}
	}
	for _, n := range c.nodes {
		for _, l := range n.links {
			errs = append(errs, l.close())
		}
	}
	if c.guard != nil {
		errs = append(errs, c.guard.close())
	}
	if keep {
		errs = append(errs, c.keepDatabase())
	}
	errs = append(errs, c.disk.close())
	if !keep && c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// services are all that is kept running.
func (c *city) services() []*service {
	out := []*service{c.postgres, c.redis, c.provider}
	for _, n := range c.nodes {
		out = append(out, n.service)
	}
	return out
}

// freeAddresses are on loopback, and nobody listens on them just now.
func freeAddresses(n int) (out []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free address: %w", err)
		}
		defer func() { _ = l.Close() }() // together, so that none is given twice
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// httpAnswers says whether a URL answers with success.
func httpAnswers(url string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		res, err := fresh.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode < 300
	}
}

// fresh makes a connection per request, so that each tells how things stand now.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
