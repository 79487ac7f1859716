package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
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
	disk        *disk           // of Postgres' data; nil if it cannot be filled
	unavailable map[Kind]string // why a kind of fault cannot be made here

	// Addresses of the services themselves, not of proxies.
	databaseURL    string
	providerURL    string
	redisAddresses []string // HOST:PORT, of all servers
	ledgerPath     string   // of the provider's file

	// Processes.
	postgres *process.Service
	standby  *standbyPair          // of it and its standby; nil without one
	bouncer  *process.Service      // nil without PgBouncer
	redis    *process.Service      // nil if this is a cluster
	cluster  *process.RedisCluster // nil if it is not; see nemesis.parts
	provider *process.Service
	nodes    []*node
	// namespaces are those of the nodes; empty if they have none.
	namespaces []*namespace
	clients    []*clientProcess
	intruder   *clientProcess // nil before startClients

	// The goroutines that start ended services again run until stopRun.
	supervisors *errgroup.Group
	runCtx      context.Context
	stopRun     context.CancelFunc
}

// node is a node process with the proxies around it.
type node struct {
	*process.Service
	directAddress string // past the proxy
	adminAddress  string
	proxies       map[Line]lineProxies
}

const clockOffset = "--clock-offset="

// setClock changes the last argument, the clock's offset, for the next start.
func (n *node) setClock(off time.Duration) { n.SetLastArg(clockOffset + off.String()) }

// publicURL is the address for phones, through the proxy.
func (n *node) publicURL() string { return "http://" + n.proxies[LinePhones].addresses() }

// clientProcess is a process of simulated drivers, riders, operators or the
// intruder.
type clientProcess struct {
	*process.Process
	out bytes.Buffer // of standard output; read it after the process has ended
}

// newCity starts the services and waits until they are ready. Close the city,
// also after an error.
func newCity(ctx context.Context, cfg Config) (c *city, err error) {
	c = &city{cfg: cfg, stopRun: func() {}, unavailable: map[Kind]string{}, supervisors: new(errgroup.Group)}
	if c.dir, c.guard, err = process.NewFolder("ridehail-chaos"); err != nil {
		return c, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()

	c.runCtx, c.stopRun = context.WithCancel(context.WithoutCancel(ctx))
	stores, err := c.startStores(ctx)
	if err != nil {
		return c, err
	}

	at, err := process.FreeAddresses(1 + 2*cfg.Nodes)
	if err != nil {
		return c, err
	}
	if err := c.preparePrograms(at[0], at[1:], stores); err != nil {
		return c, err
	}

	// Nodes need the stores, and no order among themselves.
	programs := []*process.Service{c.provider}
	for _, n := range c.nodes {
		programs = append(programs, n.Service)
	}
	return c, c.startServices(ctx, programs...)
}

// startServices starts services and waits until all are ready.
func (c *city) startServices(ctx context.Context, all ...*process.Service) error {
	for _, s := range all {
		c.supervisors.Go(func() error { return s.Supervise(c.runCtx) })
	}
	for _, s := range all {
		if err := s.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// preparePrograms prepares the provider and the nodes and starts the proxies,
// but no process yet. Stores are the lines to them.
func (c *city) preparePrograms(provider string, at []string, stores map[Line][]string) error {
	if c.cfg.Namespaces {
		c.openNamespaces(c.runCtx)
	}

	c.ledgerPath, c.providerURL = c.dir+"/ledger.jsonl", "http://"+provider
	c.provider = c.newProgramService("payments", process.HTTPAnswers("http://"+provider+"/healthz"), "payments", "--listen", provider,
		"--ledger", c.ledgerPath, "--secret", providerSecret, "--seed", strconv.FormatUint(c.cfg.Seed, 10),
		"--lose-reply", "0.1", "--error-500", "0.1", "--hang", "0.4", "--hang-for", "1s",
		"--webhook", "http://"+c.nodeAddress(0, at, false)+"/v1/payments/webhook", "--duplicate-hook", "0.2", "--late-hook", "0.2", "--late-by", "3s",
		"--reorder-hook", "0.2")

	for i, skew := range clockSkews(c.cfg.Seed, c.cfg.Nodes) {
		n := &node{directAddress: c.nodeAddress(i, at, false), adminAddress: c.nodeAddress(i, at, true), proxies: map[Line]lineProxies{}}
		c.nodes = append(c.nodes, n)

		name := fmt.Sprintf("node-%d", i+1)
		ends := map[Line][]string{LinePhones: {n.directAddress}, LineProvider: {provider}}
		maps.Copy(ends, stores)
		for line, to := range ends {
			for _, end := range to {
				l, err := newLineProxy(name+" "+string(line), c.proxyHost(i, line), end)
				if err != nil {
					return err
				}
				n.proxies[line] = append(n.proxies[line], l)
			}
		}

		n.Service = c.newProgramService(name, process.HTTPAnswers("http://"+n.directAddress+"/readyz"), "serve", "--dev-tokens", "--name", name,
			"--listen", n.directAddress, "--admin", n.adminAddress, "--speed", formatFloat(c.cfg.Speed),
			"--database", c.postgresURL(n.proxies[LinePostgres].addresses()), "--redis", c.redisURL(n),
			"--provider", "http://"+n.proxies[LineProvider].addresses(), "--provider-secret", providerSecret,
			"--drain-delay", "0s", // no load balancer watches it
			clockOffset+skew.String())
		if len(c.namespaces) > 0 {
			n.Path, n.Args = c.namespaces[i].enter(n.Path, n.Args)
		}
	}
	return nil
}

// nodeAddress is where the i-th node listens, in its namespace if it has one.
func (c *city) nodeAddress(i int, at []string, admin bool) string {
	switch {
	case len(c.namespaces) > 0 && admin:
		return net.JoinHostPort(c.namespaces[i].inside, adminInside)
	case len(c.namespaces) > 0:
		return net.JoinHostPort(c.namespaces[i].inside, portInside)
	case admin:
		return at[1+2*i]
	}
	return at[2*i]
}

// proxyHost is where the proxy of a line listens, so that the side that
// connects reaches it.
func (c *city) proxyHost(i int, line Line) string {
	if len(c.namespaces) > 0 && line != LinePhones {
		return c.namespaces[i].here
	}
	return loopback
}

// newProgramService returns a service that is another process of this program.
func (c *city) newProgramService(name string, ready func(context.Context) error, args ...string) *process.Service {
	return process.NewService(process.Server{Command: process.Command{Name: name, Path: c.cfg.Program, Args: args, Dir: c.dir}, Ready: ready}, c.guard)
}

// journalPath is the file in which a client process records what it did and
// saw.
func (c *city) journalPath(crowd string) string { return c.dir + "/" + crowd + ".journal" }

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// startClients starts drivers and riders for every node, an operator who
// acknowledges calls for help and refunds some fares, and the intruder.
func (c *city) startClients() error {
	urls := c.publicURLs()
	for i := range c.nodes {
		for _, group := range []struct {
			role  string
			count int
			flags []string
		}{
			{"drivers", c.cfg.Drivers, []string{"--rate", "3", "--cheat", "0.3"}},
			{riderRole, c.cfg.Riders, []string{"--per-minute", formatFloat(float64(c.cfg.Riders) / 8)}},
		} {
			share := max(1, group.count/len(c.nodes))
			name := fmt.Sprintf("%s-%d", group.role, i+1)
			args := append([]string{group.role, "--server", strings.Join(append(slices.Clone(urls[i:]), urls[:i]...), ","), "--flaky", "--json", "--speed", formatFloat(c.cfg.Speed),
				"--sos", "0.1",
				"--count", strconv.Itoa(share), "--prefix", fmt.Sprintf("%c%d", group.role[0], i+1),
				"--journal", c.journalPath(name), "--seed", strconv.FormatUint(c.cfg.Seed+uint64(i), 10)}, group.flags...)
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

// awaitJournals waits until every client process has begun its journal. A fault
// before that would look to it like a node that does not exist.
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

// publicURLs are those of all nodes.
func (c *city) publicURLs() (out []string) {
	for _, n := range c.nodes {
		out = append(out, n.publicURL())
	}
	return out
}

// stopClients ends the client processes, riders first, and returns a row for
// each that had ended before.
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

			// Checks read its output; its exit code does not matter.
			team.Go(func() error { _ = w.Stop(stopWithin); return nil })
		}

		_ = team.Wait()
	}

	return odd
}

// close ends all processes and returns an error for each that ended badly. It
// removes the folder unless keep is set.
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
	if c.provider != nil {
		errs = append(errs, c.provider.Stop(stopWithin))
	}
	errs = append(errs, c.stopStores())
	c.closeNamespaces()

	for _, n := range c.nodes {
		for _, l := range n.proxies {
			errs = append(errs, l.each((*lineProxy).close))
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

// listServices returns all services.
func (c *city) listServices() []*process.Service {
	out := append(c.listStores(), c.provider)
	for _, n := range c.nodes {
		out = append(out, n.Service)
	}
	return out
}
