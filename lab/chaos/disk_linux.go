package chaos

import (
	"errors"
	"fmt"
	"syscall"
)

// disk is a file system in memory that can be made so small that nothing more
// fits. Only root may mount one.
type disk struct {
	dir     string
	mounted bool
}

const roomy = 8 << 30 // bytes: as good as no limit

func mountDisk(dir string, owner *syscall.Credential) (*disk, error) {
	options := fmt.Sprintf("size=%d,mode=0700", int64(roomy))
	if owner != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", owner.Uid, owner.Gid)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID, options); err != nil {
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	return &disk{dir: dir, mounted: true}, nil
}

// fill leaves no room. It measures again if files grow while it measures.
func (d *disk) fill() (err error) {
	for range 100 {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &fs); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		used := (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
		if err = d.resize(max(used, uint64(fs.Bsize))); !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return err
}

func (d *disk) empty() error { return d.resize(roomy) }

func (d *disk) resize(bytes uint64) error {
	flags := uintptr(syscall.MS_REMOUNT | syscall.MS_NODEV | syscall.MS_NOSUID)
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", flags, fmt.Sprintf("size=%d", bytes)); err != nil {
		return fmt.Errorf("make the disk %d bytes large: %w", bytes, err)
	}
	return nil
}

// close unmounts the disk, which deletes its files. It may be called twice, and
// on nil.
func (d *disk) close() error {
	if d == nil || !d.mounted {
		return nil
	}
	d.mounted = false
	return syscall.Unmount(d.dir, syscall.MNT_DETACH)
}
