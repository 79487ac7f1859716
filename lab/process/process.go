// Package process starts child processes and servers (the ridehail program,
// Redis, Postgres), waits until they answer, and watches, pauses and kills
// them. No process that it starts outlives this one, even if this one is
// killed.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command is how to start a process.
type Command struct {
	Name string // unique in its folder; it names the log
	Path string
	Args []string
	Env  []string // NAME=VALUE, beside this process's own
	Dir  string   // working directory, and folder of the log
	User *syscall.Credential
	Out  io.Writer // standard output [the log]
}

// LogPath is the file that the process writes to.
func (c Command) LogPath() string { return c.Dir + "/" + c.Name + ".log" }

// Process is one child in a process group of its own, reaped when it ends. Its
// methods may be called from any goroutine.
type Process struct {
	Name  string
	group int // PID of the process that leads it
	guard *Guard
	log   *os.File

	ended chan struct{}
	err   error // of Wait; set before ended is closed
}

// Start starts a process that the guard kills if this one dies.
func Start(c Command, g *Guard) (*Process, error) {
	log, err := os.OpenFile(c.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.Name, err)
	}

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, append(os.Environ(), c.Env...), c.Out, log
	if c.Out == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.User}

	// A killed process may leave a child that holds our pipe.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), log.Close())
	}

	p := &Process{Name: c.Name, group: cmd.Process.Pid, guard: g, ended: make(chan struct{}), log: log}
	err = g.watchGroup(p.group)

	go func() {
		defer close(p.ended)

		// Reaped at once: a zombie counts as alive to those who read its lock
		// file.
		p.err = cmd.Wait()
		_ = p.guard.forgetGroup(p.group)
		_ = p.log.Close()
	}()

	if err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// Pause stops the process and its children. Connections stay open, and nothing
// answers on them.
func (p *Process) Pause() { p.pauseFamily() }

// pauseFamily returns the children, which have groups of their own if this is
// Postgres. The process is stopped before they are looked up, so that it starts
// no more. A process that has ended is no error: it may end at any time.
func (p *Process) pauseFamily() (children []int) {
	p.signalGroup(syscall.SIGSTOP)
	if p.Alive() {
		children = childrenOf(p.group)
	}
	signalAll(children, syscall.SIGSTOP)
	return children
}

// Resume ends a pause.
func (p *Process) Resume() {
	if p.Alive() {
		signalAll(childrenOf(p.group), syscall.SIGCONT)
	}
	p.signalGroup(syscall.SIGCONT)
}

// Kill ends the process and its children at once and waits until it is reaped.
// All are paused first, so that none reacts to the end of another.
func (p *Process) Kill() {
	signalAll(p.pauseFamily(), syscall.SIGKILL)
	p.signalGroup(syscall.SIGKILL)
	<-p.ended
}

func (p *Process) signalGroup(s syscall.Signal) { _ = syscall.Kill(-p.group, s) }

func signalAll(pids []int, s syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, s)
	}
}

// Stop asks the group to end, and kills it if it does not in time. It returns
// how the process ended.
func (p *Process) Stop(within time.Duration) error {
	p.Resume() // a paused process handles no signal
	p.signalGroup(syscall.SIGINT)
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-late.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %v of being asked to", p.Name, within)
	}
}

// Alive reports whether the process has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Ended is closed when the process has ended and is reaped.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err returns how the process ended, nil for exit code 0. Call it after Ended.
func (p *Process) Err() error { return p.err }

// PID returns the ID of the process that leads the group.
func (p *Process) PID() int { return p.group }

// childrenOf returns nil on a system without /proc. There a server's children
// end when they notice that their parent has.
func childrenOf(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended
		}

		// The fields after the name are state and parent.
		rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}
