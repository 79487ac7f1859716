package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// lineProxy is a proxy in one line of a node.
type lineProxy struct {
	proxy   *toxiproxy.Proxy
	address string // where to connect to; it stays the same
}

// lineProxies are those of one line, one for each server at its end. A fault
// affects all of them.
type lineProxies []*lineProxy

// addresses are separated by commas, as in a URL of Postgres.
func (l lineProxies) addresses() string {
	var all []string
	for _, p := range l {
		all = append(all, p.address)
	}
	return strings.Join(all, ",")
}

func (l lineProxies) each(do func(*lineProxy) error) error {
	var errs []error
	for _, p := range l {
		errs = append(errs, do(p))
	}
	return errors.Join(errs...)
}

// newLineProxy starts to forward from an address of its own on a host.
func newLineProxy(name, host, to string) (*lineProxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &lineProxy{proxy: toxiproxy.NewProxy(server, name, host+":0", to)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", name, err)
	}

	// A copy, because the proxy writes Listen, unguarded, whenever it starts.
	l.address = l.proxy.Listen
	return l, nil
}

// applyFault breaks the line until removeFault.
func (l *lineProxy) applyFault(f Fault) error {
	toxic := map[string]any{"name": "fault", "stream": "downstream"}
	if f.Up {
		toxic["stream"] = "upstream"
	}

	switch f.Kind {
	case SlowLine:
		toxic["type"], toxic["attributes"] = "latency", map[string]int{"latency": f.Amount, "jitter": f.Amount / 4}
	case BlackHoleLine:
		toxic["type"], toxic["attributes"] = "timeout", map[string]int{"timeout": 0}
	case ResetLine:
		toxic["type"], toxic["attributes"] = "reset_peer", map[string]int{"timeout": 0}
	case CutLine:
		toxic["type"], toxic["attributes"] = "limit_data", map[string]int{"bytes": f.Amount}
	case LossyLine:
		toxic["type"], toxic["attributes"] = lossName, loss{Percent: f.Amount}
	default:
		return fmt.Errorf("%s is no fault of a line", f.Kind)
	}

	text, err := json.Marshal(toxic)
	if err != nil {
		return err
	}

	return l.runBounded("hurt", func() error {
		_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		return err
	})
}

func (l *lineProxy) removeFault() error {
	return l.runBounded("heal", func() error {
		l.proxy.Toxics.ResetToxics(context.Background())
		return nil
	})
}

// cutConnections ends all connections and accepts new ones at once.
func (l *lineProxy) cutConnections() error {
	return l.runBounded("cut", func() error {
		l.proxy.Stop()
		return l.proxy.Start()
	})
}

func (l *lineProxy) close() error {
	return l.runBounded("close", func() error { l.proxy.Stop(); return nil })
}

const proxyWithin = 10 * time.Second

// runBounded bounds the time of an operation of the proxy, whose pipes wait for
// each other without a limit.
func (l *lineProxy) runBounded(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	late := time.NewTimer(proxyWithin)
	defer late.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s proxy %s: %w", what, l.proxy.Name, err)
		}
		return nil
	case <-late.C:
		return errors.New("proxy " + l.proxy.Name + " is stuck: cannot " + what + " it")
	}
}
