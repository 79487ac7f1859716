package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

const (
	providerSecret = "sk_chaos"
	startWithin    = time.Minute
	stopWithin     = 15 * time.Second // a node drains for ten
	answerWithin   = time.Second
	riderRole      = "riders"
)

// city is all the processes of a run, and the lines between them.
type city struct {
	cfg         Config
	dir         string
	guard       *process.Guard
	postgres    *process.Service
	redis       *process.Service
	provider    *process.Service
	nodes       []*node
	clients     []*clientProcess
	intruder    *clientProcess  // nil before it was let loose
	disk        *disk           // of Postgres' data; nil when it cannot be filled
	unavailable map[Kind]string // what cannot be broken here, and why

	databaseURL  string // past all proxies
	providerURL  string // likewise
	redisAddress string // likewise; HOST:PORT
	ledgerPath   string // the provider's file
	supervisors  *errgroup.Group
	runCtx       context.Context // of the keepers
	stopRun      context.CancelFunc
}

// node is one of ours with the proxies around it.
type node struct {
	*process.Service
	publicAddress string // past the proxy
	adminAddress  string
	proxies       map[Line]*lineProxy
}

const clockOffset = "--clock-offset="

// setClock takes effect when the node starts again. The offset is the last
// argument.
func (n *node) setClock(off time.Duration) { n.SetLastArg(clockOffset + off.String()) }

// publicURL is where phones go.
func (n *node) publicURL() string { return "http://" + n.proxies[LinePhones].address }

// clientProcess is a process of simulators, and what it printed in the end.
type clientProcess struct {
	*process.Process
	out bytes.Buffer // read it after the process has ended
}

// newCity starts everything but the crowds and waits until it serves. Close
// what it returns, also beside an error.
func newCity(ctx context.Context, cfg Config) (c *city, err error) {
	c = &city{cfg: cfg, stopRun: func() {}, unavailable: map[Kind]string{}, supervisors: new(errgroup.Group)}
	if c.dir, c.guard, err = process.NewFolder("ridehail-chaos"); err != nil {
		return c, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()

	at, err := process.FreeAddresses(3 + 2*cfg.Nodes)
	if err != nil {
		return c, err
	}
	if err := c.prepareServices(ctx, at); err != nil {
		return c, err
	}

	c.runCtx, c.stopRun = context.WithCancel(context.WithoutCancel(ctx))
	services := []*process.Service{c.postgres, c.redis, c.provider}
	for _, n := range c.nodes {
		services = append(services, n.Service)
	}

	for i, s := range services {
		c.supervisors.Go(func() error { return s.Supervise(c.runCtx) })
		if i < 2 || i == len(services)-1 {
			// nodes need the stores; among themselves they need no order
			if err := s.AwaitReady(ctx); err != nil {
				return c, err
			}
		}
	}

	for _, s := range services {
		if err := s.AwaitReady(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// prepareServices prepares the services and opens the lines, and starts nothing yet.
func (c *city) prepareServices(ctx context.Context, at []string) error {
	pg, redis, provider := at[0], at[1], at[2]
	if err := c.preparePostgres(ctx, pg); err != nil {
		return err
	}

	c.redisAddress = redis
	if err := c.prepareRedis(redis); err != nil {
		return err
	}
	c.ledgerPath = c.dir + "/ledger.jsonl"
	c.provider = c.newProgramService("payments", process.HTTPAnswers("http://"+provider+"/healthz"), "payments", "--listen", provider,
		"--ledger", c.ledgerPath, "--secret", providerSecret, "--seed", strconv.FormatUint(c.cfg.Seed, 10),
		"--lose-reply", "0.1", "--error-500", "0.1", "--hang", "0.4", "--hang-for", "1s",
		"--webhook", "http://"+at[3]+"/v1/payments/webhook", "--duplicate-hook", "0.2", "--late-hook", "0.2", "--late-by", "3s",
		"--reorder-hook", "0.2")

	for i, skew := range clockSkews(c.cfg.Seed, c.cfg.Nodes) {
		n := &node{publicAddress: at[3+2*i], adminAddress: at[4+2*i], proxies: map[Line]*lineProxy{}}
		c.nodes = append(c.nodes, n)

		name := fmt.Sprintf("node-%d", i+1)
		ends := map[Line]string{LinePhones: n.publicAddress, LinePostgres: pg, LineRedis: redis, LineProvider: provider}
		for line, to := range ends {
			l, err := newLineProxy(name+" "+string(line), to)
			if err != nil {
				return err
			}
			n.proxies[line] = l
		}

		n.Service = c.newProgramService(name, process.HTTPAnswers("http://"+n.publicAddress+"/readyz"), "serve", "--dev-tokens", "--name", name,
			"--listen", n.publicAddress, "--admin", n.adminAddress, "--speed", formatFloat(c.cfg.Speed),
			"--database", process.PostgresURL(n.proxies[LinePostgres].address), "--redis", process.RedisURL(n.proxies[LineRedis].address),
			"--provider", "http://"+n.proxies[LineProvider].address, "--provider-secret", providerSecret,
			clockOffset+skew.String())
	}

	c.databaseURL, c.providerURL = process.PostgresURL(pg), "http://"+provider
	return nil
}

// newProgramService is a service that is another process of this program.
func (c *city) newProgramService(name string, ready func(context.Context) error, args ...string) *process.Service {
	return process.NewService(process.Server{Command: process.Command{Name: name, Path: c.cfg.Program, Args: args, Dir: c.dir}, Ready: ready}, c.guard)
}

// journalPath is the file of what the phones of a crowd saw and did.
func (c *city) journalPath(crowd string) string { return c.dir + "/" + crowd + ".journal" }

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// startClients lets drivers and riders loose, some of each at every node, and an
// operator who sees to their calls for help and gives some fares back, and an
// intruder.
func (c *city) startClients() error {
	for i := range c.nodes {
		for _, who := range []struct {
			role  string
			count int
			more  []string
		}{
			{"drivers", c.cfg.Drivers, []string{"--rate", "3"}},
			{riderRole, c.cfg.Riders, []string{"--per-minute", formatFloat(float64(c.cfg.Riders) / 8)}},
		} {
			share := max(1, who.count/len(c.nodes))
			name := fmt.Sprintf("%s-%d", who.role, i+1)
			args := append([]string{who.role, "--server", c.publicURLsFrom(i), "--flaky", "--json", "--speed", formatFloat(c.cfg.Speed),
				"--sos", "0.1",
				"--count", strconv.Itoa(share), "--prefix", fmt.Sprintf("%c%d", who.role[0], i+1),
				"--journal", c.journalPath(name), "--seed", strconv.FormatUint(c.cfg.Seed+uint64(i), 10)}, who.more...)
			if err := c.startClient(name, args); err != nil {
				return err
			}
		}
	}

	args := []string{"operators", "--json", "--journal", c.journalPath("operators"), "--seed", strconv.FormatUint(c.cfg.Seed, 10),
		"--refund", "0.2", "--database", c.databaseURL, "--provider", c.providerURL, "--provider-secret", providerSecret}
	for _, n := range c.nodes {
		args = append(args, "--admin", "http://"+n.adminAddress)
	}
	if err := c.startClient("operators", args); err != nil {
		return err
	}
	if err := c.startIntruder(); err != nil {
		return err
	}
	return c.awaitJournals()
}

// awaitJournals waits until every crowd has begun its journal: one that is still on
// its way in takes a fault for a node that is not there.
func (c *city) awaitJournals() error {
	late := time.Now().Add(startWithin)
	for _, w := range append(slices.Clone(c.clients), c.intruder) {
		for {
			if _, err := os.Stat(c.journalPath(w.Name)); err == nil {
				break
			}
			if !w.Alive() || time.Now().After(late) || !sleep.For(c.runCtx, lookEvery) {
				return fmt.Errorf("%s did not begin; see %s/%s.log", w.Name, c.dir, w.Name)
			}
		}
	}
	return nil
}

func (c *city) startClient(name string, args []string) error {
	w := new(clientProcess)
	var err error
	w.Process, err = process.Start(process.Command{Name: name, Path: c.cfg.Program, Args: args, Dir: c.dir, Out: &w.out}, c.guard)
	if err == nil {
		c.clients = append(c.clients, w)
	}
	return err
}

// publicURLsFrom are all nodes' doors for phones, from one node on.
func (c *city) publicURLsFrom(first int) string {
	var out []string
	for i := range c.nodes {
		out = append(out, c.nodes[(first+i)%len(c.nodes)].publicURL())
	}
	return strings.Join(out, ",")
}

// stopClients ends the crowds, riders first, and says which did not end well.
func (c *city) stopClients() (odd []string) {
	if !c.intruder.Alive() {
		odd = append(odd, fmt.Sprintf("the intruder ended by itself: %v", c.intruder.Err()))
	}
	_ = c.intruder.Stop(stopWithin)

	for _, riders := range []bool{true, false} {
		var team errgroup.Group
		for _, w := range c.clients {
			if (w.Name[:len(riderRole)] == riderRole) != riders {
				continue
			}
			if !w.Alive() {
				odd = append(odd, fmt.Sprintf("%s ended by itself: %v", w.Name, w.Err()))
			}

			// what it says is read by the check
			team.Go(func() error { _ = w.Stop(stopWithin); return nil })
		}

		_ = team.Wait()
	}

	return odd
}

// close ends everything that runs and says what ended badly. The folder is
// removed unless it is kept.
func (c *city) close(keep bool) error {
	var errs []error
	c.stopRun()
	errs = append(errs, c.supervisors.Wait())

	for _, w := range append(slices.Clone(c.clients), c.intruder) {
		if w != nil && w.Alive() {
			w.Kill()
		}
	}

	var team errgroup.Group
	for _, n := range c.nodes {
		if n.Service != nil {
			team.Go(func() error { return n.Stop(stopWithin) })
		}
	}

	errs = append(errs, team.Wait())
	for _, s := range []*process.Service{c.provider, c.redis, c.postgres} {
		// Postgres calls this its fast shutdown
		if s != nil {
			errs = append(errs, s.Stop(stopWithin))
		}
	}

	for _, n := range c.nodes {
		for _, l := range n.proxies {
			errs = append(errs, l.close())
		}
	}

	if c.guard != nil {
		errs = append(errs, c.guard.Close())
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

// listServices are all that is kept running.
func (c *city) listServices() []*process.Service {
	out := []*process.Service{c.postgres, c.redis, c.provider}
	for _, n := range c.nodes {
		out = append(out, n.Service)
	}
	return out
}

// fresh makes a connection per request, so that each tells how things stand
// now.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
