package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// child is the program as a process of its own.
type child struct {
	program
	*exec.Cmd
}

// startChild runs the program until the test ends.
func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{program{ended: make(chan struct{})}, exec.Command(os.Args[0], args...)}
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), asProgram+"=1"), &c.out, &c.logs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}

	go func() {
		defer close(c.ended)
		_ = c.Cmd.Wait()
		c.code = c.ProcessState.ExitCode()
	}()

	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("ridehail %s logged:\n%s", strings.Join(args, " "), c.logs.String())
		}
	})
	return c
}

// TestASecondCityOnTheSameDataIsRefused plays every pair of commands that keep
// a file or a folder for themselves, and then kills the first.
func TestASecondCityOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	data := filepath.Join(home, "data")
	if err := os.Symlink(data, filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}

	address := freeAddress(t)
	first := startChild(t, "demo", "--listen", address, "--data", data, "--drivers", "5", "--riders", "5")
	awaitReady(t, &first.program, "http://"+address)

	file, link, pid := data+"/ridehail.db", home+"/link/ridehail.db", "in use by process "+strconv.Itoa(first.Process.Pid)
	for command, says := range map[string]string{
		"demo --data " + data:                                  data + " is " + pid + ": stop that demo, or choose another folder with --data",
		"demo --data " + home + "/link":                        "/link is " + pid,
		"serve --dev-tokens --data " + data:                    file + " is " + pid + ", and takes one node only",
		"serve --dev-tokens --database " + link:                link + " is " + pid,
		"demo --data " + home + "/new --database " + link:      link + " is " + pid,
		"payments --ledger " + data + "/provider-ledger.jsonl": "in use by another provider: stop that one, or choose another file",
	} {
		var out, logs bytes.Buffer
		if code := run(t.Context(), nil, append(strings.Fields(command), "--listen", "127.0.0.1:0"), &out, &logs); code != exitUsage ||
			!strings.Contains(logs.String(), says) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s", command, code, &out, &logs)
		}
	}

	// Commands that end by themselves go on beside a node.
	for _, command := range []string{"audit --grace 1h --database " + file, "migrate --database " + link} {
		var out, logs bytes.Buffer
		if code := run(t.Context(), nil, strings.Fields(command), &out, &logs); code != exitDone {
			t.Errorf("%s: exit %d, %s%s", command, code, &out, &logs)
		}
	}

	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	second := start(t, "demo", "--listen", "127.0.0.1:0", "--data", data, "--drivers", "5", "--riders", "5", "--for", "1s")
	if code := second.wait(t); code != exitDone {
		t.Errorf("after the first was killed: exit %d", code)
	}
}
