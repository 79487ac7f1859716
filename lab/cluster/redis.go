package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/process"
)

// redis is what the nodes of one size share.
type redis struct {
	url     string
	cpuTime func() (time.Duration, bool) // of this run's servers; nil: there are none

	// killMaster kills a master and returns its name; nil: there is none to
	// kill.
	killMaster func(ctx context.Context) (string, error)
	stop       func() error
}

func isURL(redis string) bool { return strings.Contains(redis, "://") }

// startRedis starts the kind of Redis that was asked for, in an empty folder,
// unless it is the URL of one.
func startRedis(ctx context.Context, kind, dir string, guard *process.Guard) (*redis, error) {
	switch kind {
	case RedisEmbedded:
		r, err := events.OpenEmbedded()
		if err != nil {
			return nil, err
		}
		return &redis{url: r.EmbeddedURL(), stop: r.Close}, nil
	case RedisServer:
		return startServer(ctx, dir, guard)
	case RedisCluster:
		return startCluster(ctx, dir, guard)
	}
	return &redis{url: kind, stop: func() error { return nil }}, nil
}

func startServer(ctx context.Context, dir string, guard *process.Guard) (*redis, error) {
	at, err := process.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	server, err := process.PrepareRedis(dir, at[0], "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	p, err := server.Serve(ctx, guard)
	if err != nil {
		return nil, err
	}
	return &redis{url: process.RedisURL(at[0]), cpuTime: p.CPUTime, stop: func() error { return p.Stop(stopWithin) }}, nil
}

func startCluster(ctx context.Context, dir string, guard *process.Guard) (*redis, error) {
	const masters, replicas = 3, 1
	c, err := process.StartRedisCluster(ctx, dir, guard, masters, replicas, "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	return &redis{url: c.URL(), cpuTime: c.CPUTime, stop: c.Close, killMaster: func(context.Context) (string, error) {
		address, err := c.KillMaster(0)
		return "the master " + address, err
	}}, nil
}
