// Package filelock keeps a second process from using what one process owns. The
// kernel holds the locks: they end with the process, also when it is killed, so
// that a file which is left behind locks nothing.
package filelock

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrHeld says that the lock is held, by another process or by this one.
var ErrHeld = errors.New("in use")

// Take locks the file at path until the returned function is called. It creates
// the file, writes this process's ID into it for people, and never removes it.
// It does not wait: the error wraps ErrHeld if the lock is held.
func Take(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}

	if err := LockOpen(f); err != nil {
		holder, _ := io.ReadAll(f) // for people; what it may say decides nothing
		return nil, errors.Join(fmt.Errorf("%w by process %s", err, cmp.Or(strings.TrimSpace(string(holder)), "unknown")), f.Close())
	}

	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// LockOpen locks an open file until it is closed. It does not wait: the error
// wraps ErrHeld if the lock is held. The lock does not touch those of fcntl.
func LockOpen(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrHeld
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}
