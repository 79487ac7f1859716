package processtest

import (
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlagsAreThoseOfTheComposeFile(t *testing.T) {
	if flags := ComposeFlags(t, "postgres"); !slices.Contains(flags, "synchronous_commit=on") {
		t.Errorf("the module's own: %q", flags)
	}

	other := t.TempDir() + "/compose.yaml"
	if err := os.WriteFile(other, []byte("    command: [\"redis-server\", \"--appendonly\", \"no\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Setenv(ComposeFile, other)
	if flags := ComposeFlags(t, "redis-server"); !slices.Equal(flags, []string{"--appendonly", "no"}) {
		t.Errorf("another file's: %q", flags)
	}
}

func TestAServerIsKilledPausedAndStartedAgain(t *testing.T) {
	r := Redis(t, "--save", "")
	answers := func() bool { return process.RedisDo(t.Context(), r.Address, "PING", "+PONG") == nil }
	if !answers() {
		t.Error("it does not answer when it is started")
	}

	r.Pause()
	if answers() {
		t.Error("it answers while it is paused")
	}

	r.Resume()
	if !answers() {
		t.Error("it does not answer after a pause")
	}

	r.Kill()
	if answers() {
		t.Error("it answers when it is killed")
	}

	r.Start()
	if !answers() {
		t.Error("it does not answer when it is started again")
	}
}
