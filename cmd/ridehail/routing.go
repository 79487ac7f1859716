package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ridehail/ridehail/internal/httpserver"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/tracing"
)

type routingCmd struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:8070"`
	City   string `help:"Seed of a generated city, or a city file." default:"1" placeholder:"SEED|FILE"`
}

func (routingCmd) Help() string {
	return "Speaks Connect, gRPC and gRPC health. Example: ridehail routing & ridehail serve --dev-tokens --routing http://127.0.0.1:8070"
}

// openTracer returns a tracer if a collector is named. A node decides which calls
// are recorded; of those that belong to no trip, next to none are.
func (c *routingCmd) openTracer(ctx context.Context, name string) (*tracing.Tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	return tracing.New(ctx, tracing.Config{Node: "routing " + name, Ratio: 1e-12, RingBytes: 1, Now: time.Now})
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

	tracer, err := c.openTracer(ctx, l.Addr().String())
	if err != nil {
		return fmt.Errorf("%w: collector: %w", errUsage, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tracer.Close(ctx) // spans that no collector takes in time are lost
	}()

	p.log.Info("the routing service is ready", "url", "http://"+l.Addr().String(), "city", city.Name())
	return httpserver.Run(ctx, l, routing.NewHandler(routing.NewRouter(city), routing.WithTracing(tracer.Provider())))
}
