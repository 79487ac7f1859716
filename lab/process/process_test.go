package process

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon waits for a condition, and fails if it does not become true within a
// time that is enough on a busy machine.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// gone reports whether no process of a group is left.
func gone(group int) bool { return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) }

func guarded(t *testing.T) *Guard {
	t.Helper()
	g, err := NewGuard(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})

	return g
}

func TestAKilledProcessTakesItsChildrenAlong(t *testing.T) {
	p, err := Start(Command{Name: "family", Path: "/bin/sh", Args: []string{"-c", "sleep 1000 & sleep 1000"}, Dir: t.TempDir()},
		guarded(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	soon(t, "the group is gone", func() bool { return gone(p.group) })
}

func TestAPausedProcessStopsWhenAsked(t *testing.T) {
	p, err := Start(Command{Name: "sleeper", Path: "/bin/sleep", Args: []string{"1000"}, Dir: t.TempDir()}, guarded(t))
	if err != nil {
		t.Fatal(err)
	}

	p.Pause()
	if err := p.Stop(time.Minute); err == nil || !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("it ended with %v, not by the signal", err)
	}
	soon(t, "the group is gone", func() bool { return gone(p.group) })
}

func TestAProcessThatDoesNotListenIsKilled(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(Command{Name: "deaf", Path: "/bin/sh", Dir: dir,
		Args: []string{"-c", `trap "" INT; : >deaf; while :; do sleep 1; done`}}, guarded(t))
	if err != nil {
		t.Fatal(err)
	}

	soon(t, "it does not listen", func() bool { _, err := os.Stat(filepath.Join(dir, "deaf")); return err == nil })
	if err := p.Stop(10 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("stop says %v", err)
	}
	soon(t, "the group is gone", func() bool { return gone(p.group) })
}

func TestWhenWeDieTheGuardEndsWhatWeStartedAndRemovesTheFolder(t *testing.T) {
	home := t.TempDir() + "/home"
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}

	g, err := NewGuard(home)
	if err != nil {
		t.Fatal(err)
	}

	ended, left := exec.Command("/bin/sleep", "1000"), exec.Command("/bin/sleep", "1000")
	for _, c := range []*exec.Cmd{ended, left} {
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if err := g.watchGroup(c.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}

	if err := g.forgetGroup(ended.Process.Pid); err != nil {
		t.Fatal(err)
	}

	// Close does to the pipe what our death does.
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := left.Wait(); err == nil {
		t.Error("the one that was left ended in peace")
	}
	if gone(ended.Process.Pid) {
		t.Error("the guard killed what it was told to forget")
	}
	if err := ended.Process.Kill(); err != nil {
		t.Error(err)
	}

	_ = ended.Wait() // killed just now
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// kept runs a service until the test ends.
func kept(t *testing.T, s *Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Supervise(ctx) }()

	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = s.Stop(time.Minute) // its error says that a signal ended it
	})
}

func always(context.Context) error { return nil }

func TestAServiceThatEndsByItselfIsStartedAgainAndReported(t *testing.T) {
	dir := t.TempDir()
	ready := func(context.Context) error { _, err := os.Stat(dir + "/ready"); return err }
	s := NewService(Server{Command{Name: "frail", Path: "/bin/sh", Dir: dir,
		Args: []string{"-c", "[ -e ready ] || { : >ready; sleep 1; exit 7; }; sleep 1000"}}, ready}, guarded(t))
	kept(t, s)
	soon(t, "it ended and serves again", func() bool { return len(s.UnexpectedEnds()) == 1 && s.AwaitReady(t.Context()) == nil })
	if odd := s.UnexpectedEnds(); !strings.Contains(odd[0], "exit status 7") {
		t.Errorf("it is said to have ended so: %v", odd)
	}
}

func TestAKilledServiceStaysDownUntilRevivedAndIsNotReported(t *testing.T) {
	s := NewService(Server{Command{Name: "steady", Path: "/bin/sleep", Args: []string{"1000"}, Dir: t.TempDir()}, always}, guarded(t))
	kept(t, s)

	for range 3 {
		if err := s.AwaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := s.current.group
		s.Kill()
		if !gone(before) || s.current.group != before {
			t.Fatal("it lives on, or again")
		}
		s.Revive()
		soon(t, "it runs again", func() bool { return s.AwaitReady(t.Context()) == nil })
	}

	if odd := s.UnexpectedEnds(); len(odd) != 0 {
		t.Errorf("what we did is reported: %v", odd)
	}
}

func TestAServiceWhoseEndIsOurDoingIsExcusedForThatLong(t *testing.T) {
	dir := t.TempDir()
	s := NewService(Server{Command{Name: "victim", Path: "/bin/sleep", Args: []string{"1000"}, Dir: dir}, always}, guarded(t))
	kept(t, s)

	for _, ours := range []bool{true, false} {
		if err := s.AwaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.SetExcused(ours)
		s.mu.Lock()
		victim := s.current
		s.mu.Unlock()
		victim.Kill()

		soon(t, "it runs again", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.current != victim && s.ready
		})

		if odd := len(s.UnexpectedEnds()); odd != 0 == ours {
			t.Errorf("our doing: %v, and %d strange ends", ours, odd)
		}
	}
}

func TestAProcessTellsTheProcessorTimeOfItsWholeFamily(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	// The child works; its parent only waits.
	p, err := Start(Command{Name: "family", Path: "/bin/sh", Args: []string{"-c", "sh -c 'while :; do :; done' & wait"}, Dir: t.TempDir()}, guarded(t))
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "the child has used 50 ms", func() bool {
		used, ok := p.CPUTime()
		return ok && used >= 50*time.Millisecond
	})

	p.Kill()
	if used, ok := p.CPUTime(); ok {
		t.Errorf("after its end it tells %v", used)
	}
}

func TestFreeAddressesAreNotThoseOfOutgoingConnections(t *testing.T) {
	all, err := FreeAddresses(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, address := range all {
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil || at.Port < firstFreePort || at.Port >= 32768 || seen[address] {
			t.Errorf("%s of %v: %v", address, all, err)
		}
		seen[address] = true
	}
}
