//go:build !linux

package chaos

import (
	"errors"
	"syscall"
)

// disk can be filled on Linux only.
type disk struct{ dir string }

func mountDisk(string, *syscall.Credential) (*disk, error) {
	return nil, errors.New("only Linux has a disk that can be made small")
}

func (d *disk) fill() error  { return errors.ErrUnsupported }
func (d *disk) empty() error { return errors.ErrUnsupported }
func (d *disk) close() error { return nil }
