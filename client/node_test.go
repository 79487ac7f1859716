package client_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
)

// startNode runs RIDEHAIL_BIN, or cmd/ridehail built for this, on a free port and
// with a folder of its own. It returns the node's address and what stops it.
func startNode() (server string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "ridehail-example")
	if err != nil {
		return "", nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) }
	program := os.Getenv("RIDEHAIL_BIN")
	if program == "" {
		program = filepath.Join(dir, "ridehail")
		if out, err := exec.Command("go", "build", "-o", program, "../cmd/ridehail").CombinedOutput(); err != nil {
			clean()
			return "", nil, fmt.Errorf("build the node: %w: %s", err, out)
		}
	}
	node := exec.Command(program, "serve", "--dev-tokens", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", dir)
	log, err := node.StderrPipe()
	if err == nil {
		err = node.Start()
	}
	if err != nil {
		clean()
		return "", nil, err
	}
	stop = func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		_ = node.Wait()
		clean()
	}
	server, err = readAddress(bufio.NewScanner(log))
	if err != nil {
		stop()
		return "", nil, err
	}
	return server, stop, nil
}

// readAddress reads a node's log up to the line that says where it serves. The rest
// of a short run fits into the pipe.
func readAddress(log *bufio.Scanner) (string, error) {
	ready := regexp.MustCompile(`page=(http://\S+)`)
	for log.Scan() {
		if m := ready.FindStringSubmatch(log.Text()); m != nil {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("the node ended before it was ready: %w", log.Err())
}
