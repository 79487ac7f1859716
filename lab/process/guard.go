package process

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// Guard is a shell process that outlives this one if it is killed. It then
// kills the process groups it was told of and removes the folder.
type Guard struct {
	mu  sync.Mutex // one line at a time
	in  io.WriteCloser
	cmd *exec.Cmd
}

// guardScript reads lines "+ GROUP" and "- GROUP" until this process has ended,
// and then cleans up.
const guardScript = `groups=
while read -r op group; do
  case $op in
  +) groups="$groups $group" ;;
  -) rest=; for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done; groups=$rest ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g"; done
[ -z "$groups" ] || { sleep 1; umount -l "$1/postgres" 2>/dev/null; rm -rf "$1"; }`

// NewGuard starts the guard of a folder.
func NewGuard(dir string) (*Guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "ridehail-guard", dir)
	// In a group of its own it gets no Ctrl-C.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &Guard{in: in, cmd: cmd}, nil
}

func (g *Guard) sendLine(op string, group int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := fmt.Fprintf(g.in, "%s %d\n", op, group); err != nil {
		return fmt.Errorf("tell the guard: %w", err)
	}
	return nil
}

func (g *Guard) watchGroup(group int) error  { return g.sendLine("+", group) }
func (g *Guard) forgetGroup(group int) error { return g.sendLine("-", group) }

// Close ends the guard; everything it watched must have ended.
func (g *Guard) Close() error {
	return errors.Join(g.in.Close(), g.cmd.Wait())
}
