package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// RedisCluster is a Redis Cluster of processes on this machine. Its methods
// belong to one goroutine.
type RedisCluster struct {
	servers []*clusterServer
	guard   *Guard
}

// clusterServer is one server of a cluster.
type clusterServer struct {
	Server
	address string // HOST:PORT
	id      string // its name in the cluster
	running *Process
}

const (
	// FreePort stands in a flag of StartRedisCluster for a free port, another
	// one for each server.
	FreePort = "FREE-PORT"

	clusterSlots  = 16384
	stopServer    = 5 * time.Second
	clusterConfig = "nodes.conf"
)

// StartRedisCluster starts servers in folders of dir, with so many replicas for
// each master, and returns when the cluster serves all slots and each replica
// follows its master. Flags are those of every server; if one occurs twice, the
// last one counts.
func StartRedisCluster(ctx context.Context, dir string, g *Guard, masters, replicas int, flags ...string) (*RedisCluster, error) {
	c := &RedisCluster{guard: g}
	err := c.startServers(ctx, dir, masters*(1+replicas), flags)
	if err == nil {
		err = c.join(ctx, masters)
	}
	if err == nil {
		err = c.AwaitHealthy(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a Redis Cluster: %w", err), c.Close())
	}
	return c, nil
}

func (c *RedisCluster) startServers(ctx context.Context, dir string, count int, flags []string) error {
	free, err := FreeAddresses((2 + strings.Count(strings.Join(flags, " "), FreePort)) * count)
	if err != nil {
		return err
	}
	nextPort := func() string {
		_, port, _ := net.SplitHostPort(free[0])
		free = free[1:]
		return port
	}

	for i := range count {
		home := filepath.Join(dir, "cluster-"+strconv.Itoa(i))
		if err := os.Mkdir(home, 0o755); err != nil {
			return err
		}

		address := net.JoinHostPort("127.0.0.1", nextPort())
		own := []string{"--save", "", "--cluster-enabled", "yes", "--cluster-config-file", clusterConfig, "--cluster-node-timeout", "1000",
			"--cluster-port", nextPort(), "--repl-diskless-sync-delay", "0"}
		for _, flag := range flags {
			if flag == FreePort {
				flag = nextPort()
			}
			own = append(own, flag)
		}

		s := &clusterServer{address: address}
		if s.Server, err = PrepareRedis(home, address, own...); err != nil {
			return err
		}
		if s.running, err = s.Serve(ctx, c.guard); err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	return nil
}

// join makes one cluster of the servers. The first ones become its masters.
func (c *RedisCluster) join(ctx context.Context, masters int) error {
	first := c.servers[0]
	for i, s := range c.servers {
		if err := s.do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return err
		}
		if i < masters {
			begin, end := clusterSlots*i/masters, clusterSlots*(i+1)/masters-1
			if err := s.do(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(begin), strconv.Itoa(end)); err != nil {
				return err
			}
		}

		host, port, _ := net.SplitHostPort(first.address)
		if i == 0 {
			continue
		}
		bus := flagOf(first.Args, "--cluster-port")
		if err := s.do(ctx, "CLUSTER", "MEET", host, port, bus); err != nil {
			return err
		}
	}

	for i, s := range c.servers {
		if err := c.awaitInfo(ctx, s, "CLUSTER INFO", "cluster_known_nodes:"+strconv.Itoa(len(c.servers))); err != nil {
			return err
		}
		var err error
		if s.id, err = redisCall(ctx, s.address, "CLUSTER", "MYID"); err != nil {
			return err
		}
		if i >= masters {
			if err := s.do(ctx, "CLUSTER", "REPLICATE", c.servers[i%masters].id); err != nil {
				return err
			}
		}
	}
	return nil
}

// flagOf returns the last value of a flag.
func flagOf(args []string, flag string) (value string) {
	for i, arg := range args {
		if arg == flag && i+1 < len(args) {
			value = args[i+1]
		}
	}
	return value
}

// AwaitHealthy waits until all servers that run say that all slots are served
// and by whom, and each replica among them follows its master.
func (c *RedisCluster) AwaitHealthy(ctx context.Context) error {
	for _, s := range c.servers {
		if !s.running.Alive() {
			continue
		}
		for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(clusterSlots)} {
			if err := c.awaitInfo(ctx, s, "CLUSTER INFO", want); err != nil {
				return err
			}
		}
		if err := c.awaitInfo(ctx, s, "INFO replication", "role:master", "master_link_status:up"); err != nil {
			return err
		}
	}
	return c.awaitAgreement(ctx)
}

// awaitInfo waits until a server's answer has one of the lines.
func (c *RedisCluster) awaitInfo(ctx context.Context, s *clusterServer, command string, lines ...string) error {
	for {
		told, err := redisCall(ctx, s.address, strings.Fields(command)...)
		for _, line := range lines {
			if strings.Contains(told, line+"\r\n") {
				return nil
			}
		}
		if !sleep.For(ctx, lookEvery) {
			return fmt.Errorf("%s does not say %s (%w): %s; see %s", s.address, lines, err, told, s.LogPath())
		}
	}
}

// URL is the address of the cluster, as in the flags of a node.
func (c *RedisCluster) URL() string { return "redis+cluster://" + strings.Join(c.Addresses(), ",") }

// Addresses returns the addresses of all servers, those that are killed too.
func (c *RedisCluster) Addresses() (all []string) {
	for _, s := range c.servers {
		all = append(all, s.address)
	}
	return all
}

// Flag returns the value of a flag of the server at an address.
func (c *RedisCluster) Flag(address, flag string) string {
	if s := c.find(address); s != nil {
		return flagOf(s.Args, flag)
	}
	return ""
}

func (c *RedisCluster) find(address string) *clusterServer {
	for _, s := range c.servers {
		if s.address == address {
			return s
		}
	}
	return nil
}

// slotRange is slots of one master, both ends included.
type slotRange struct {
	begin, end int
	master     *clusterServer
}

// readSlots returns which slots each running master serves, as the masters
// themselves say, in order.
func (c *RedisCluster) readSlots(ctx context.Context) (all []slotRange) {
	for _, s := range c.servers {
		if !s.running.Alive() {
			continue
		}
		// A paused server gives no answer.
		told, _ := redisCall(ctx, s.address, "CLUSTER", "NODES")
		for _, line := range strings.Split(told, "\n") {
			fields := strings.Fields(line)
			if len(fields) < 9 || fields[2] != "myself,master" {
				continue
			}
			for _, span := range fields[8:] {
				if begin, end, ok := readSpan(span); ok {
					all = append(all, slotRange{begin, end, s})
				}
			}
		}
	}

	slices.SortFunc(all, func(a, b slotRange) int { return a.begin - b.begin })
	return all
}

// readSpan reads BEGIN-END or one slot.
func readSpan(span string) (begin, end int, ok bool) {
	from, to, found := strings.Cut(span, "-")
	if !found {
		to = from
	}
	begin, err1 := strconv.Atoi(from)
	end, err2 := strconv.Atoi(to)
	return begin, end, err1 == nil && err2 == nil
}

// Masters returns the addresses of the masters that serve slots now, in the
// order of their first slots.
func (c *RedisCluster) Masters() (all []string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	for _, r := range c.readSlots(ctx) {
		if !slices.Contains(all, r.master.address) {
			all = append(all, r.master.address)
		}
	}
	return all
}

// KillMaster kills the i-th of Masters and returns its address.
func (c *RedisCluster) KillMaster(i int) (address string, err error) {
	return c.onMaster(i, (*Process).Kill)
}

// PauseMaster stops the i-th of Masters until Resume, and returns its address.
// Connections stay open, and nothing answers on them.
func (c *RedisCluster) PauseMaster(i int) (address string, err error) {
	return c.onMaster(i, (*Process).Pause)
}

func (c *RedisCluster) onMaster(i int, do func(*Process)) (address string, err error) {
	masters := c.Masters()
	if i >= len(masters) {
		return "", fmt.Errorf("there are only %d masters", len(masters))
	}
	do(c.find(masters[i]).running)
	return masters[i], nil
}

// Resume ends the pause of the server at an address.
func (c *RedisCluster) Resume(address string) {
	if s := c.find(address); s != nil {
		s.running.Resume()
	}
}

// Revive starts the server at an address that was killed. It returns when it
// answers; it comes back as a replica if another one took its place.
func (c *RedisCluster) Revive(ctx context.Context, address string) (err error) {
	s := c.find(address)
	if s == nil {
		return fmt.Errorf("%s is no server of the cluster", address)
	}
	s.running, err = s.Serve(ctx, c.guard)
	return err
}

// AwaitFailover waits until another server is master instead of the one at an
// address, and all slots are served.
func (c *RedisCluster) AwaitFailover(ctx context.Context, former string) error {
	for {
		served := 0
		for _, r := range c.readSlots(ctx) {
			if r.master.address != former {
				served += r.end - r.begin + 1
			}
		}
		if served == clusterSlots {
			return nil
		}
		if !sleep.For(ctx, lookEvery) {
			return fmt.Errorf("%d slots have no master but %s: %w", clusterSlots-served, former, context.Cause(ctx))
		}
	}
}

// MoveSlots moves the first n slots of the from-th of Masters to the to-th one,
// with their keys, one slot after the other, as redis-cli --cluster reshard
// does.
func (c *RedisCluster) MoveSlots(ctx context.Context, from, to, n int) error {
	masters := c.Masters()
	if max(from, to) >= len(masters) {
		return fmt.Errorf("there are only %d masters", len(masters))
	}

	target := c.find(masters[to])
	for _, r := range c.readSlots(ctx) {
		if r.master.address != masters[from] {
			continue
		}
		for slot := r.begin; slot <= r.end && n > 0; slot++ {
			if err := c.moveSlot(ctx, slot, r.master, target); err != nil {
				return fmt.Errorf("move slot %d: %w", slot, err)
			}
			n--
		}
	}
	return c.awaitAgreement(ctx)
}

// MoveSlotsOf moves the slot of each key from its master to the next one, with
// all keys in it.
func (c *RedisCluster) MoveSlotsOf(ctx context.Context, keys ...string) error {
	masters := c.Masters()
	if len(masters) < 2 {
		return errors.New("there is no other master")
	}

	moved := map[int]bool{}
	for _, key := range keys {
		told, err := redisCall(ctx, masters[0], "CLUSTER", "KEYSLOT", key)
		if err != nil {
			return err
		}
		slot, err := strconv.Atoi(told)
		if err != nil {
			return err
		}
		if moved[slot] {
			continue
		}

		moved[slot] = true
		for _, r := range c.readSlots(ctx) {
			if slot < r.begin || slot > r.end {
				continue
			}
			next := masters[(slices.Index(masters, r.master.address)+1)%len(masters)]
			if err := c.moveSlot(ctx, slot, r.master, c.find(next)); err != nil {
				return fmt.Errorf("move slot %d, of %s: %w", slot, key, err)
			}
		}
	}
	return c.awaitAgreement(ctx)
}

// awaitAgreement waits until all servers know the same epochs, slots and
// replicas. Slots that move again before that may end without an owner.
func (c *RedisCluster) awaitAgreement(ctx context.Context) error {
	for {
		views := map[string]bool{}
		for _, s := range c.servers {
			if s.running.Alive() {
				views[c.readView(ctx, s)] = true
			}
		}
		if len(views) == 1 {
			return nil
		}
		if !sleep.For(ctx, lookEvery) {
			return fmt.Errorf("the servers do not agree on slots: %w", context.Cause(ctx))
		}
	}
}

// readView returns the epoch and the slots of each master that has slots, and
// the master of each replica, as a server knows them.
func (c *RedisCluster) readView(ctx context.Context, s *clusterServer) string {
	told, _ := redisCall(ctx, s.address, "CLUSTER", "NODES") // an error differs from all views
	var view []string
	for _, line := range strings.Split(told, "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 8 && strings.Contains(fields[2], "master"):
			view = append(view, fields[0]+" "+fields[6]+" "+strings.Join(fields[8:], " "))
		case len(fields) == 8 && strings.Contains(fields[2], "slave"):
			view = append(view, fields[0]+" follows "+fields[3])
		}
	}
	slices.Sort(view)
	return strings.Join(view, "\n")
}

func (c *RedisCluster) moveSlot(ctx context.Context, slot int, from, to *clusterServer) error {
	number := strconv.Itoa(slot)
	if err := to.do(ctx, "CLUSTER", "SETSLOT", number, "IMPORTING", from.id); err != nil {
		return err
	}
	if err := from.do(ctx, "CLUSTER", "SETSLOT", number, "MIGRATING", to.id); err != nil {
		return err
	}

	host, port, _ := net.SplitHostPort(to.address)
	for {
		keys, err := redisCall(ctx, from.address, "CLUSTER", "GETKEYSINSLOT", number, "100")
		if err != nil {
			return err
		}
		if keys == "" {
			break
		}
		move := append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, strings.Split(keys, "\n")...)
		if err := from.do(ctx, move...); err != nil {
			return err
		}
	}

	// The new owner first: else both would send clients to each other.
	for _, s := range append([]*clusterServer{to, from}, c.servers...) {
		if !s.running.Alive() {
			continue
		}
		if err := s.do(ctx, "CLUSTER", "SETSLOT", number, "NODE", to.id); err != nil && !strings.Contains(err.Error(), "only with masters") {
			return err
		}
	}
	return nil
}

// Close stops all servers.
func (c *RedisCluster) Close() error {
	for _, s := range c.servers {
		if s.running != nil && s.running.Alive() {
			s.running.Kill()
		}
	}
	return nil
}

// do sends a command and returns the error that it was answered with.
func (s *clusterServer) do(ctx context.Context, words ...string) error {
	_, err := redisCall(ctx, s.address, words...)
	return err
}
