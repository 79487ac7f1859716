package httpserver

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ErrAddress is wrapped by the errors of Listen.
var ErrAddress = errors.New("no server can listen there")

// Listen takes a TCP address, HOST:PORT, to serve on. The name is what a person
// calls the address, such as the flag that gave it; an error begins with both,
// says what to do, and wraps ErrAddress.
func Listen(name, address string) (net.Listener, error) {
	err := error(&net.AddrError{Err: "no address"})
	if address != "" { // package net would choose one
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s %q: %w: %s", name, address, ErrAddress, explainAddress(err))
}

// explainAddress says why an address cannot be taken, and what to do.
func explainAddress(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has this address; choose another port, or 0 for any free one"
	case errors.Is(err, syscall.EACCES):
		return "the system reserves this port; choose one above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address; 127.0.0.1 is for this machine alone, 0.0.0.0 for all its networks"
	}

	if op := new(net.OpError); errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Sprintf("give HOST:PORT, such as 127.0.0.1:8080, with a port from 0 to 65535 (%v)", err)
}
