// Package httpserver serves HTTP with the settings that all servers of this
// project share: limits on headers and idle connections, HTTP/1 and unencrypted
// HTTP/2 (for gRPC), and a graceful end.
package httpserver

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout   = 5 * time.Second
	idleTimeout     = 2 * time.Minute
	maxHeaderBytes  = 16 << 10
	shutdownTimeout = 2 * time.Second
)

// Run serves on the listener until ctx ends. It then closes the listener and
// gives active requests two seconds to finish, before it closes their
// connections. It returns nil, or why serving or closing failed.
func Run(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)

	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()

	err := srv.Shutdown(deadline)
	if err != nil {
		err = srv.Close()
	}

	<-served
	return err
}
