package main

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/routing"
)

type routingCmd struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:8070"`
	City   string `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
}

func (routingCmd) Help() string {
	return "Speaks Connect, gRPC and gRPC health. Example: ridehail routing & ridehail serve --dev-tokens --routing http://127.0.0.1:8070"
}

func (c *routingCmd) Run(ctx context.Context, p *process) error {
	city, err := routing.Open(c.City)
	if err != nil {
		return fmt.Errorf("%w: city: %w", errUsage, err)
	}

	l, err := httpserver.Listen("--listen", c.Listen)
	if err != nil {
		return err
	}

	p.log.Info("the routing service is ready", "url", "http://"+l.Addr().String(), "city", city.Name())
	return httpserver.Run(ctx, l, routing.NewHandler(routing.NewRouter(city)))
}
