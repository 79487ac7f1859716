package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// runUnprivileged runs f on a thread without privileges on files, also when the
// test runs as root.
func runUnprivileged(t *testing.T, f func()) {
	if os.Geteuid() != 0 {
		f()
		return
	}

	done := make(chan struct{})
	go func() {
		defer close(done)

		// The thread is never unlocked and ends with the goroutine.
		runtime.LockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()

	<-done
}

func TestAFolderWithoutPermissionIsNamedWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.db")
	if err := Migrate(t.Context(), mine); err != nil {
		t.Fatal(err)
	}

	// The parent folder must let every user through.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(mine, 0o444); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // so that it can be removed

	runUnprivileged(t, func() {
		checkOpenError(t, filepath.Join(dir, "new.db"), "let this user write there")
		checkOpenError(t, mine, "let this user write there")
	})
}
