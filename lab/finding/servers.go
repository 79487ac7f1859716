package finding

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

// dialTimeout is how long a real server may take to accept a connection.
const dialTimeout = 2 * time.Second

// checkServers tries to connect to the real servers that a run names, so that
// one which is not there is told in one line before the run takes its time.
func (e Experiment) checkServers(ctx context.Context, run *Run) error {
	if run.Redis != "" && !e.TakesRedis {
		return fmt.Errorf("%w: %s takes no real Redis", ErrUsage, e.Name)
	}
	if run.Database != "" && !e.TakesDatabase {
		return fmt.Errorf("%w: %s takes no real database", ErrUsage, e.Name)
	}
	if err := checkServer(ctx, "redis", run.Redis, "6379", "redis", "rediss"); err != nil {
		return err
	}
	return checkServer(ctx, "database", run.Database, "5432", "postgres", "postgresql")
}

func checkServer(ctx context.Context, flag, text, port string, schemes ...string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" {
		return fmt.Errorf("%w: --%s wants %s://HOST:PORT/NAME", ErrUsage, flag, schemes[0])
	}
	if u.Port() != "" {
		port = u.Port()
	}

	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("--%s %w: %w", flag, ErrUnreachable, err)
	}
	return conn.Close()
}

// redactPassword returns a URL without its password.
func redactPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "URL"
	}
	return u.Redacted()
}
