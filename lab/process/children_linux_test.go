package process

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// As Postgres does, the process gives its child a group of its own, which a
// signal to its own group does not reach.
func TestWhatIsDoneToAProcessIsDoneToChildrenWithGroupsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(Command{Name: "family", Path: "/bin/sh", Dir: dir,
		Args: []string{"-c", `setsid sh -c 'echo $$ >child; exec sleep 1000' & wait`}}, guarded(t))
	if err != nil {
		t.Fatal(err)
	}

	child := 0
	soon(t, "the child says who it is", func() bool {
		text, _ := os.ReadFile(dir + "/child") // not there yet
		child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return child > 0
	})

	state := func() string {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		if err != nil {
			return ""
		}
		return strings.Fields(string(stat))[2]
	}

	p.Pause()
	soon(t, "the child is stopped", func() bool { return state() == "T" })
	p.Resume()
	soon(t, "the child goes on", func() bool { return state() == "S" })
	p.Kill()

	soon(t, "the child is gone", func() bool {
		// It is reaped by init, if there is one.
		return errors.Is(syscall.Kill(child, 0), syscall.ESRCH) || state() == "Z"
	})
}
