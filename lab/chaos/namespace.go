package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
)

const (
	loopback = "127.0.0.1"
	// strayMAC belongs to no interface: the other end of a link drops what is
	// sent to it.
	strayMAC       = "02:00:00:00:00:0f"
	enterWithin    = 5 * time.Second
	portInside     = "8080" // all ports of a namespace are free
	adminInside    = "8081"
	blocksOfNumber = 16      // namespaces of one run
	allBlocks      = 1 << 20 // of four addresses in 100.64.0.0/10
)

// namespace is a network namespace with one link to this one. It ends with the
// processes in it; holder is one that does nothing.
type namespace struct {
	holder        *process.Process
	here, inside  string // IP addresses of the two ends
	link, linkEnd string // names of the two interfaces
}

// openNamespaces makes a namespace for each node, or notes why it cannot be
// done.
func (c *city) openNamespaces(ctx context.Context) {
	for i := range c.cfg.Nodes {
		s, err := c.openNamespace(ctx, i)
		if err != nil {
			c.unavailable[CutOffNode] = err.Error()
			c.closeNamespaces()
			return
		}
		c.namespaces = append(c.namespaces, s)
	}
}

func (c *city) closeNamespaces() {
	for _, s := range c.namespaces {
		s.holder.Kill()
	}
	c.namespaces = nil
}

func (c *city) openNamespace(ctx context.Context, i int) (*namespace, error) {
	if i >= blocksOfNumber {
		return nil, fmt.Errorf("only %d nodes can have namespaces", blocksOfNumber)
	}
	unshare, err := exec.LookPath("unshare")
	if _, lerr := exec.LookPath("nsenter"); errors.Join(err, lerr) != nil {
		return nil, errors.Join(err, lerr)
	}

	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	s := new(namespace)
	s.holder, err = process.Start(process.Command{Name: fmt.Sprintf("namespace-%d", i+1), Path: unshare, Dir: c.dir,
		Args: []string{"--net", "sleep", "infinity"}}, c.guard)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, enterWithin)
	defer cancel()
	for theirs := ours; theirs == ours && err == nil; {
		if !s.holder.Alive() || !sleep.For(ctx, time.Millisecond) {
			err = errors.New("unshare --net makes no network namespace; root may on Linux, though not in every container")
			break
		}
		theirs, err = os.Readlink(s.path())
	}
	if err = cmp.Or(err, ctx.Err()); err == nil {
		err = s.connect(ctx, i)
	}
	if err != nil {
		s.holder.Kill()
		return nil, err
	}
	return s, nil
}

// connect makes the link. Numbers of processes keep two runs on one machine
// apart.
func (s *namespace) connect(ctx context.Context, i int) error {
	block := (os.Getpid()*blocksOfNumber + i) % allBlocks
	address := func(last int) string {
		at := 100<<24 | 64<<16 | block<<2 | last
		return fmt.Sprintf("%d.%d.%d.%d", at>>24, at>>16&255, at>>8&255, at&255)
	}
	s.here, s.inside = address(1), address(2)
	s.link, s.linkEnd = fmt.Sprintf("rh%x", block), fmt.Sprintf("rh%xn", block)
	return errors.Join(
		s.ip(ctx, false, "link add "+s.link+" type veth peer name "+s.linkEnd+fmt.Sprintf(" netns %d", s.holder.PID())),
		s.ip(ctx, false, "address add "+s.here+"/30 dev "+s.link),
		s.ip(ctx, false, "link set "+s.link+" up"),
		s.ip(ctx, true, "address add "+s.inside+"/30 dev "+s.linkEnd),
		s.ip(ctx, true, "link set "+s.linkEnd+" up"),
		s.ip(ctx, true, "link set lo up"))
}

// path names the namespace for as long as its holder lives.
func (s *namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", s.holder.PID()) }

// enter returns a command line that runs in the namespace.
func (s *namespace) enter(path string, args []string) (string, []string) {
	return "nsenter", append([]string{"--net=" + s.path(), path}, args...)
}

// ip changes the network on one side of the link.
func (s *namespace) ip(ctx context.Context, inside bool, words string) error {
	path, args := "ip", strings.Fields(words)
	if inside {
		path, args = s.enter(path, args)
	}
	said, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", words, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// cutOff lets all packets of the link vanish, in both directions. Neither side
// is told: each believes to know the other's address on the link.
func (s *namespace) cutOff(ctx context.Context) (reconnect func() error, err error) {
	ends := []struct {
		inside    bool
		peer, dev string
	}{{false, s.inside, s.link}, {true, s.here, s.linkEnd}}
	for _, e := range ends {
		err = errors.Join(err, s.ip(ctx, e.inside, "neighbour replace "+e.peer+" lladdr "+strayMAC+" nud permanent dev "+e.dev))
	}
	return func() (err error) {
		for _, e := range slices.Backward(ends) {
			err = errors.Join(err, s.ip(context.WithoutCancel(ctx), e.inside, "neighbour delete "+e.peer+" dev "+e.dev))
		}
		return err
	}, err
}
