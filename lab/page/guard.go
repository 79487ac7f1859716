package page

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// crossOrigin refuses requests that another site's page makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// forwardingHeaders are those that proxies add. Behind a proxy every client
// seems to be on this machine.
var forwardingHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}

// refuseStranger returns why a request is refused; empty: it is not. An
// experiment uses this machine, so only a person at this machine may run it.
// The name that was asked for is checked as well: a foreign site may let its
// own name point to this machine (DNS rebinding), and then its page and ours
// have one origin.
func refuseStranger(r *http.Request) string {
	const onlyHere = "The lab answers only on the machine it runs on: open it there, at 127.0.0.1 or localhost."
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() || !isLoopbackName(r.Host) {
		return onlyHere
	}

	for _, header := range forwardingHeaders {
		if r.Header.Get(header) != "" {
			return onlyHere
		}
	}

	// A page of another site can load nothing from here, and start nothing.
	site := r.Header.Get("Sec-Fetch-Site")
	opensPage := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet
	if crossOrigin.Check(r) != nil || (site == "cross-site" || site == "same-site") && !opensPage {
		return "The lab answers only to its own page."
	}
	return ""
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

// quoteShort quotes what a stranger sent, cut to a length that fits a line.
func quoteShort(s string) string {
	if runes := []rune(s); len(runes) > 40 {
		s = string(runes[:40]) + "…"
	}
	return strconv.Quote(s)
}
