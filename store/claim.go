package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ridehail/ridehail/internal/filelock"
)

// Claim makes the caller the one node of a SQLite file until it calls release:
// nodes on one file would each dispatch every trip and hear nothing of each
// other. Commands that only read or write something and end claim nothing. A
// Postgres database has any number of nodes, and Claim does nothing. Errors
// wrap ErrUsage where a person chose what cannot work.
func Claim(url string) (release func() error, err error) {
	if !isFile(url) {
		return func() error { return nil }, nil
	}

	if err := createFolder(url); err != nil {
		return nil, err
	}
	path, err := resolvePath(url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}

	release, err = filelock.Take(path + ".lock")
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return nil, fmt.Errorf("%w: the SQLite file %s is %w, and takes one node only: stop that one, or choose another file "+
			"(--database) or folder (--data), or Postgres", ErrUsage, url, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", url, err)
	}

	if hasOtherNames(path) {
		return nil, errors.Join(fmt.Errorf("%w: %s is a hard link, and a node that opens the file by its other name would damage it; "+
			"remove that name or work on a copy", ErrUsage, url), release())
	}
	return release, nil
}

// resolvePath follows symbolic links, also one to a file that does not exist
// yet, so that each file has one path.
func resolvePath(path string) (string, error) {
	for range 40 {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err == nil {
			dir, err = filepath.Abs(dir)
		}
		if err != nil {
			return "", err
		}

		path = filepath.Join(dir, filepath.Base(path))
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing there yet
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", errors.New("too many symbolic links")
}

// hasOtherNames reports whether a file has hard links. SQLite keeps its log
// under the name by which it opened the file.
func hasOtherNames(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false // not there yet
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
