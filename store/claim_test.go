package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/store"
)

func claim(t *testing.T, path string) (release func()) {
	t.Helper()
	end, err := store.Claim(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

func TestAFileHasOneNodeByWhateverNameItIsOpened(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, err := range []error{os.MkdirAll("real/data", 0o755), os.Symlink("real/data", "folder"), os.Mkdir("other", 0o755),
		os.Symlink("../real/data/ridehail.db", "other/file.db"), os.Symlink("file.db", "other/again.db")} {
		if err != nil {
			t.Fatal(err)
		}
	}

	// Not one of these names leads to a file before the first node makes it.
	names := []string{"real/data/ridehail.db", dir + "/real/data/../data/ridehail.db", "folder/ridehail.db", "other/file.db", "other/again.db"}
	for _, first := range names {
		release := claim(t, first)
		for _, second := range names {
			_, err := store.Claim(second)
			if !errors.Is(err, store.ErrUsage) || !strings.Contains(err.Error(), second+" is in use by process "+strconv.Itoa(os.Getpid())) {
				t.Errorf("%s beside %s: %v", second, first, err)
			}
		}
		claim(t, "real/data/another.db")()
		release()
	}
}

func TestALockFileThatIsLeftBehindLocksNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "ridehail.db")
	claim(t, path)()
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	claim(t, path)()
}

func TestAFileWithAHardLinkIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ridehail.db")
	for _, err := range []error{os.WriteFile(path, nil, 0o600), os.Link(path, path+".copy")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Claim(path); !errors.Is(err, store.ErrUsage) || !strings.Contains(err.Error(), "hard link") {
		t.Errorf("%v", err)
	}

	if err := os.Remove(path + ".copy"); err != nil {
		t.Fatal(err)
	}
	claim(t, path)()
}

func TestAnyNumberOfNodesUseOnePostgres(t *testing.T) {
	for range 2 {
		claim(t, "postgres://ridehail@localhost/ridehail")
	}
}

func TestLinksThatLeadNowhereAreAnError(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{os.Symlink("b.db", dir+"/a.db"), os.Symlink("a.db", dir+"/b.db")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Claim(dir + "/a.db"); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("%v", err)
	}
}
