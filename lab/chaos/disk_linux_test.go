package chaos

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAFullDiskTakesNothingMoreUntilThereIsRoom(t *testing.T) {
	dir := t.TempDir()
	d, err := mountDisk(dir, nil)
	if err != nil {
		t.Skip("only root may mount a disk, and not in every container: ", err)
	}

	t.Cleanup(func() {
		if err := errors.Join(d.close(), d.close()); err != nil {
			t.Error(err)
		}
	})

	page := make([]byte, 64<<10)
	keep := func(name string) error { return os.WriteFile(dir+"/"+name, page, 0o600) }
	for _, name := range []string{"one", "two"} {
		if err := keep(name); err != nil {
			t.Fatal(err)
		}
		if err := d.fill(); err != nil {
			t.Fatal(err)
		}
		if err := keep("more"); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("one more file on a full disk: %v", err)
		}
		if err := keep(name); err != nil {
			t.Errorf("what is there already cannot be written again: %v", err)
		}
		if err := d.empty(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(keep("more"), os.Remove(dir+"/more")); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatCannotBeBrokenIsLeftOutAndSaid(t *testing.T) {
	c := &city{unavailable: map[Kind]string{FullDisk: "no root"}}
	plan := Plan(1, 60e9, 2, Engines{})

	whole := len(plan)
	can, left := c.feasibleFaults(plan)
	if len(can) >= whole || len(left) != 1 || !strings.Contains(Report{LeftOut: left}.Text(), "left out: full disk: no root") {
		t.Errorf("%d of %d faults, %q", len(can), whole, left)
	}

	for _, f := range can {
		if f.Kind == FullDisk {
			t.Error("it is in the plan")
		}
	}

	if _, left := (&city{}).feasibleFaults(Plan(1, 60e9, 2, Engines{})); len(left) != 0 {
		t.Errorf("left out without a reason: %q", left)
	}
}
