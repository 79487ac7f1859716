package chaos

import (
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAHogKeepsEveryProcessorBusyUntilItIsHealed(t *testing.T) {
	dir := t.TempDir()
	guard, err := process.NewGuard(dir)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
	})

	c := &city{dir: dir, guard: guard}
	end, err := c.hogProcessors()
	if err != nil {
		t.Fatal(err)
	}

	logs, err := filepath.Glob(c.dir + "/hog-*.log")
	if err != nil || len(logs) != runtime.NumCPU() {
		t.Errorf("%v, %v", logs, err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
