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

// link is one line of a node, with a proxy in it.
type link struct {
	proxy   *toxiproxy.Proxy
	address string // where to connect to; it stays the same
}

// newLink begins to forward from an address of its own on loopback to another
// one.
func newLink(name, to string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", to)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", name, err)
	}

	// the proxy writes it again, unguarded, whenever it starts
	l.address = l.proxy.Listen
	return l, nil
}

// hurt breaks the line as the fault says; heal undoes it.
func (l *link) hurt(f Fault) error {
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

	return l.bounded("hurt", func() error {
		_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		return err
	})
}

func (l *link) heal() error {
	return l.bounded("heal", func() error {
		l.proxy.Toxics.ResetToxics(context.Background())
		return nil
	})
}

// cut ends all connections and takes new ones at once.
func (l *link) cut() error {
	return l.bounded("cut", func() error {
		l.proxy.Stop()
		return l.proxy.Start()
	})
}

func (l *link) close() error {
	return l.bounded("close", func() error { l.proxy.Stop(); return nil })
}

const proxyWithin = 10 * time.Second

// bounded does something with the proxy, whose pipes wait for each other
// without a limit.
func (l *link) bounded(what string, f func() error) error {
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
