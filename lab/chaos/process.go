package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// command is how to start a process.
type command struct {
	name string // unique; names the log
	path string
	args []string
	dir  string // working directory and home of the log
	user *syscall.Credential
	out  io.Writer // standard output; the log when nil
}

// process is one child in a process group of its own, reaped when it ends.
type process struct {
	name  string
	group int
	guard *guard
	ended chan struct{}
	err   error // of Wait; read it after ended
	log   *os.File
}

func start(c command, g *guard) (*process, error) {
	log, err := os.OpenFile(c.dir+"/"+c.name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.name, err)
	}
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, c.out, log
	if c.out == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.user}
	cmd.WaitDelay = time.Second // for what a killed process leaves holding our pipe
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), log.Close())
	}
	p := &process{name: c.name, group: cmd.Process.Pid, guard: g, ended: make(chan struct{}), log: log}
	err = g.watch(p.group)
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait() // a zombie would keep its address and its lock files alive
		_ = p.guard.forget(p.group)
		_ = p.log.Close()
	}()
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// signal reaches the whole group. A process that has ended is no error: it may end at any time.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.group, s) }

// kill ends the group at once and waits until it is reaped.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop asks the group to end, and kills it when it does not in time.
func (p *process) stop(within time.Duration) error {
	p.signal(syscall.SIGCONT) // a paused process hears nothing else
	p.signal(syscall.SIGINT)
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-late.C:
		p.kill()
		return fmt.Errorf("%s did not end within %v of being asked to", p.name, within)
	}
}

// alive says whether the process has not ended yet.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// guard is a shell that outlives us if we are killed: then it kills what we started and removes our folder.
type guard struct {
	mu  sync.Mutex // one line at a time
	in  io.WriteCloser
	cmd *exec.Cmd
}

// guardScript reads "+ GROUP" and "- GROUP" until we are gone, and then cleans up.
const guardScript = `groups=
while read -r op group; do
  case $op in
  +) groups="$groups $group" ;;
  -) rest=; for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done; groups=$rest ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g"; done
[ -z "$groups" ] || { sleep 1; umount -l "$1/postgres" 2>/dev/null; rm -rf "$1"; }`

// newGuard starts the guard of a folder.
func newGuard(dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "chaos-guard", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us alone
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{in: in, cmd: cmd}, nil
}

func (g *guard) tell(op string, group int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := fmt.Fprintf(g.in, "%s %d\n", op, group); err != nil {
		return fmt.Errorf("tell the guard: %w", err)
	}
	return nil
}

func (g *guard) watch(group int) error  { return g.tell("+", group) }
func (g *guard) forget(group int) error { return g.tell("-", group) }

// close ends the guard; everything it watched must have ended.
func (g *guard) close() error {
	return errors.Join(g.in.Close(), g.cmd.Wait())
}

// service is a process that is kept running, as an operator would: when it ends by itself it is started again.
type service struct {
	command
	guard *guard
	ready func(context.Context) bool // whether it serves

	mu      sync.Mutex // guards below
	now     *process   // nil before the first start
	killed  *process   // the last one that we killed
	excused bool       // whatever becomes of it now is our doing
	down    bool       // killed on purpose, until revived
	wake    chan struct{}
	whole   bool     // it served since its last start
	strange []string // how it ended by itself after it had served
}

const (
	startAgainAfter = 300 * time.Millisecond
	lookEvery       = 50 * time.Millisecond
)

func newService(c command, g *guard, ready func(context.Context) bool) *service {
	return &service{command: c, guard: g, ready: ready, wake: make(chan struct{}, 1)}
}

// keep runs the service until ctx ends, and leaves stopping the last process to the caller.
func (s *service) keep(ctx context.Context) error {
	for ctx.Err() == nil {
		p, err := s.begin()
		if err != nil {
			return err
		}
		if p != nil {
			s.attend(ctx, p)
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(startAgainAfter):
		}
	}
	return nil
}

// begin starts the process unless it is meant to be down.
func (s *service) begin() (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, nil
	}
	p, err := start(s.command, s.guard)
	if err != nil {
		return nil, err
	}
	s.now, s.whole = p, false
	return p, nil
}

// attend watches a process until it has ended.
func (s *service) attend(ctx context.Context, p *process) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for whole := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.ended:
			s.bury(p, whole)
			return
		case <-tick.C:
		}
		if !whole && s.ready(ctx) {
			whole = true
			s.mu.Lock()
			s.whole = true
			s.mu.Unlock()
		}
	}
}

// bury notes a death that nobody wanted.
func (s *service) bury(p *process, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = false
	if served && p != s.killed && !s.excused {
		s.strange = append(s.strange, fmt.Sprintf("%s ended by itself: %v", s.name, p.err))
	}
}

// kill ends the process the hard way, and it stays down until revived.
func (s *service) kill() {
	s.mu.Lock()
	s.down, s.whole = true, false
	p := s.now
	s.killed = p
	s.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

func (s *service) revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *service) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && s.now.alive() {
		s.now.signal(sig)
	}
}

// excuse says whether what becomes of the process from now on is our doing.
func (s *service) excuse(ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused = ours
}

// await waits until the service serves.
func (s *service) await(ctx context.Context) error {
	for {
		s.mu.Lock()
		whole := s.whole
		s.mu.Unlock()
		if whole {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve; see %s/%s.log: %w", s.name, s.dir, s.name, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// stop ends the last process; keep must have returned.
func (s *service) stop(within time.Duration) error {
	s.mu.Lock()
	p := s.now
	s.mu.Unlock()
	if p == nil || !p.alive() {
		return nil
	}
	if err := p.stop(within); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// oddities says how the service ended by itself after it had served.
func (s *service) oddities() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.strange)
}
