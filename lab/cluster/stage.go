package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/simulators"
	"github.com/ridehail/ridehail/store"
)

const providerSecret = "sk_cluster"

// stage is the processes of one size.
type stage struct {
	cfg   Config
	dir   string // of this size
	guard *process.Guard

	database *scratch.Database
	store    store.Store // of the same database, for what is counted there
	closeDB  func() error
	redis    *redis

	provider *process.Process
	nodes    []*nodeProcess
	crowds   []*crowd
}

// nodeProcess is a node.
type nodeProcess struct {
	*process.Process
	url, admin string
	killed     bool // by this run
}

// crowd is a process of simulated drivers or riders.
type crowd struct {
	*process.Process
	out bytes.Buffer // read it after the process has ended
}

// openStage starts the nodes, and all that they need, and waits until they are
// ready. Close the stage, also after an error.
func (g *ground) openStage(ctx context.Context, nodes int) (s *stage, err error) {
	s = &stage{cfg: g.cfg, dir: filepath.Join(g.dir, fmt.Sprintf("nodes-%d", nodes)), guard: g.guard}
	for again := 2; ; again++ {
		if err = os.Mkdir(s.dir, 0o755); !errors.Is(err, os.ErrExist) {
			break
		}
		s.dir = filepath.Join(g.dir, fmt.Sprintf("nodes-%d-%d", nodes, again))
	}
	if err != nil {
		return s, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %v", startWithin))
	defer cancel()

	if s.database, err = scratch.Create(ctx, g.database); err != nil {
		return s, err
	}
	if s.redis, err = startRedis(ctx, s.cfg.Redis, s.dir, s.guard); err != nil {
		return s, err
	}

	at, err := process.FreeAddresses(1 + 2*nodes)
	if err != nil {
		return s, err
	}
	if err := s.startProvider(ctx, at[0], at[1]); err != nil {
		return s, err
	}

	// The first one makes the schema.
	if err := s.startNode(ctx, 0, at); err != nil {
		return s, err
	}
	for i := range nodes - 1 {
		if err := s.startNode(ctx, i+1, at); err != nil {
			return s, err
		}
	}

	s.store, s.closeDB, err = store.OpenExisting(ctx, s.database.URL)
	return s, err
}

func (s *stage) startProvider(ctx context.Context, at, hook string) (err error) {
	server := process.Server{Ready: process.HTTPAnswers("http://" + at + "/healthz"),
		Command: process.Command{Name: "payments", Path: s.cfg.Program, Dir: s.dir, Args: []string{"payments", "--listen", at,
			"--ledger", s.dir + "/ledger.jsonl", "--secret", providerSecret, "--webhook", "http://" + hook + "/v1/payments/webhook"}}}
	s.provider, err = server.Serve(ctx, s.guard)
	return err
}

// startNode starts node i, counted from 0, and waits until it is ready. The
// address of the provider is the first one, and then come two for each node.
func (s *stage) startNode(ctx context.Context, i int, at []string) (err error) {
	listen, admin := at[1+2*i], at[2+2*i]
	n := &nodeProcess{url: "http://" + listen, admin: "http://" + admin}
	name := fmt.Sprintf("node-%d", i+1)
	server := process.Server{Ready: process.HTTPAnswers(n.url + "/readyz"),
		Command: process.Command{Name: name, Path: s.cfg.Program, Dir: s.dir,
			Env: []string{"RIDEHAIL_REDIS=" + s.redis.url, "RIDEHAIL_DATABASE=" + s.database.URL},
			Args: []string{"serve", "--dev-tokens", "--name", name, "--listen", listen, "--admin", admin,
				"--speed", formatFloat(s.cfg.Speed), "--provider", "http://" + at[0], "--provider-secret", providerSecret, "--drain-delay", "0s"}}}
	if n.Process, err = server.Serve(ctx, s.guard); err != nil {
		return err
	}
	s.nodes = append(s.nodes, n)
	return nil
}

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// urls are the public addresses of the nodes.
func (s *stage) urls() (out []string) {
	for _, n := range s.nodes {
		out = append(out, n.url)
	}
	return out
}

// startCrowds starts drivers and riders, whose phones begin at random nodes.
func (s *stage) startCrowds() error {
	for _, c := range []struct {
		role  string
		count int
	}{{"drivers", s.cfg.DriversPerNode}, {"riders", s.cfg.RidersPerNode}} {
		w := new(crowd)
		var err error
		w.Process, err = process.Start(process.Command{Name: c.role, Path: s.cfg.Program, Dir: s.dir, Out: &w.out,
			Args: []string{c.role, "--server", strings.Join(s.urls(), ","), "--spread", "--json", "--speed", formatFloat(s.cfg.Speed),
				"--count", strconv.Itoa(c.count * len(s.nodes)), "--seed", strconv.FormatUint(s.cfg.Seed, 10)}}, s.guard)
		if err != nil {
			return err
		}
		s.crowds = append(s.crowds, w)
	}
	return nil
}

// stopCrowd ends drivers or riders and returns what they saw.
func (s *stage) stopCrowd(role string) (seen simulators.Snapshot, err error) {
	i := slices.IndexFunc(s.crowds, func(c *crowd) bool { return c.Name == role })
	c := s.crowds[i]
	if !c.Alive() {
		return seen, fmt.Errorf("the %s ended by themselves (%w); see %s/%s.log", role, c.Err(), s.dir, role)
	}

	stopped := c.Stop(stopWithin)
	if err := json.Unmarshal(c.out.Bytes(), &seen); err != nil {
		return seen, fmt.Errorf("what the %s saw: %w; see %s/%s.log", role, errors.Join(err, stopped), s.dir, role)
	}
	return seen, nil // its violations are in what it saw
}

// alive are the nodes that this run has not killed.
func (s *stage) alive() (out []*nodeProcess) {
	for _, n := range s.nodes {
		if !n.killed {
			out = append(out, n)
		}
	}
	return out
}

// checkProcesses returns an error for each process that ended by itself.
func (s *stage) checkProcesses() error {
	var errs []error
	for _, n := range s.alive() {
		if !n.Alive() {
			errs = append(errs, fmt.Errorf("%s ended by itself (%w); see %s/%s.log", n.Name, n.Err(), s.dir, n.Name))
		}
	}
	return errors.Join(errs...)
}

// close ends all processes, those that use another one first.
func (s *stage) close() error {
	var errs []error
	for _, c := range s.crowds {
		if c.Alive() {
			c.Kill()
		}
	}

	var team errgroup.Group
	for _, n := range s.nodes {
		if n.Process.Alive() {
			team.Go(func() error { return n.Stop(stopWithin) })
		}
	}
	errs = append(errs, team.Wait())

	if s.provider != nil {
		errs = append(errs, s.provider.Stop(stopWithin))
	}
	if s.redis != nil {
		errs = append(errs, s.redis.stop())
	}
	if s.closeDB != nil {
		errs = append(errs, s.closeDB())
	}
	if s.database != nil {
		errs = append(errs, s.database.Close())
	}
	return errors.Join(errs...)
}
