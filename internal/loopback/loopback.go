// Package loopback keeps to this machine what uses the machine or breaks
// something on it.
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/wire"
)

// crossOrigin refuses requests that another site's page makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// forwardingHeaders are those that proxies add. Behind a proxy every client
// seems to be on this machine.
var forwardingHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}

// Only answers programs on this machine, and of browsers' pages only those that
// this server has sent. All others get 403 and a sentence that begins with the
// name of what they asked for.
func Only(name string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isFromHere(r):
			problem.Write(w, wire.CodeForbidden, http.StatusForbidden,
				name+" answers only on the machine it runs on: open it there, at 127.0.0.1 or localhost.")
		case isForeignPage(r):
			problem.Write(w, wire.CodeForbidden, http.StatusForbidden, name+" answers only to its own page.")
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// isFromHere also checks the name that was asked for: a foreign site may let
// its own name point to this machine (DNS rebinding), and then its page and
// ours have one origin.
func isFromHere(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() || !isLoopbackName(r.Host) {
		return false
	}

	for _, header := range forwardingHeaders {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	return true
}

// isForeignPage reports whether another site's page asks: it can load nothing
// from here, and start nothing.
func isForeignPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	opensPage := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet
	return crossOrigin.Check(r) != nil || (site == "cross-site" || site == "same-site") && !opensPage
}

// isLoopbackName reports whether the host of a URL can only be this machine.
func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
