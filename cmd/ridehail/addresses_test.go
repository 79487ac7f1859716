package main

import (
	"net"
	"strings"
	"testing"
)

// TestATakenAddressIsRefusedByItsFlagsName tries every flag that says where to
// listen.
func TestATakenAddressIsRefusedByItsFlagsName(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	dir := t.TempDir()
	for command, flag := range map[string]string{
		"serve --dev-tokens --admin 127.0.0.1:0 --data " + dir + "/1":  "--listen",
		"serve --dev-tokens --listen 127.0.0.1:0 --data " + dir + "/2": "--admin",
		"demo --for 1s --data " + dir + "/3":                           "--listen",
		"demo --for 1s --listen 127.0.0.1:0 --data " + dir + "/4":      "--admin",
		"routing":                           "--listen",
		"payments --ledger " + dir + "/5/x": "--listen",
	} {
		expectBadAddress(t, command, flag, taken.Addr().String(), "another program has this address; choose another port")
	}
}

func TestWhatIsNoAddressIsRefusedWithAnExample(t *testing.T) {
	t.Parallel()
	ledger := t.TempDir() + "/ledger"
	for _, address := range []string{"8080", ":99999", "foo:bar", "localhost", "http://127.0.0.1:8080", "::1:8080"} {
		expectBadAddress(t, "payments --ledger "+ledger, "--listen", address, "give HOST:PORT, such as 127.0.0.1:8080")
	}
	expectBadAddress(t, "payments --ledger "+ledger, "--listen", "192.0.2.7:8080", "this machine has no such address")
	expectBadAddress(t, "serve --dev-tokens --data "+t.TempDir(), "--listen", "8080", "give HOST:PORT")
	expectBadAddress(t, "demo --data "+t.TempDir(), "--listen", "8080", "give HOST:PORT")
}

// expectBadAddress runs a command that must say what is wrong with the address
// of a flag, and end with exit code 2.
func expectBadAddress(t *testing.T, command, flag, address, says string) {
	t.Helper()
	p := start(t, append(strings.Fields(command), flag, address)...)
	code := p.wait(t)
	lines := strings.Split(strings.TrimSpace(p.logs.String()), "\n")
	last := lines[len(lines)-1]
	if code != exitUsage || !strings.Contains(last, flag+` "`+address+`"`) || !strings.Contains(last, says) {
		t.Errorf("%s %s %s: exit %d, %s", command, flag, address, code, last)
	}
}
