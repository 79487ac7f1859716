// Command ridehail is a ride-hailing city in real time: one node or many, simulators of everyone who uses it, and the
// tools that measure and check it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ridehail/ridehail/node"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // an invariant or a check failed, or something broke
	exitUsage       = 2
	exitUnreachable = 3 // a service could not be reached
)

// cli is every command.
type cli struct {
	LogLevel slog.Level `help:"What to log on standard error: debug, info, warn or error." default:"info" env:"RIDEHAIL_LOG"`

	Demo      demoCmd      `cmd:"" help:"Run the whole city in one process: node, drivers, riders, payments, page."`
	Serve     serveCmd     `cmd:"" help:"Run one node."`
	Drivers   driversCmd   `cmd:"" help:"Simulate drivers against a node."`
	Riders    ridersCmd    `cmd:"" help:"Simulate riders against a node."`
	Latency   latencyCmd   `cmd:"" help:"Measure how long a driver's position takes to a rider's socket, hop by hop."`
	Lab       labCmd       `cmd:"" help:"Answer questions about distributed systems by experiments."`
	Audit     auditCmd     `cmd:"" help:"Check the invariants of a database."`
	Migrate   migrateCmd   `cmd:"" help:"Create or update the schema of a database."`
	Import    importCmd    `cmd:"" help:"Make a city file of an OpenStreetMap extract."`
	Routing   routingCmd   `cmd:"" help:"Run the routing service on its own."`
	Payments  paymentsCmd  `cmd:"" help:"Run the payment provider's emulator."`
	Refund    refundCmd    `cmd:"" help:"Give the fare of a wrongly completed trip back."`
	Chaos     chaosCmd     `cmd:"" help:"Break a city of real processes by a seeded schedule and check that it kept every promise."`
	Simulate  simulateCmd  `cmd:"" help:"Let a city live for hours in virtual time, and compare policies of dispatch on the same people."`
	Operators operatorsCmd `cmd:"" hidden:"" help:"Simulate operators beside simulated drivers and riders."`
	Queue     queueCmd     `cmd:"" help:"Show the jobs that were given up, and put them back."`
	Intruder  intruderCmd  `cmd:"" hidden:"" help:"Try what a client must not be able to do, on trips of other people."`
}

// The errors that choose an exit code; wrap what a person should read.
var (
	errCheckFailed = errors.New("a check failed")
	errUsage       = node.ErrUsage
	errUnreachable = node.ErrUnreachable
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, out, logs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("ridehail"),
		kong.Description("A ride-hailing city in real time. Begin with: ridehail demo"),
		kong.Writers(out, logs), kong.Vars{"demo_listen": demoListen}, kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(logs, "ridehail:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(logs, "ridehail: %v\nSee: ridehail --help\n", err)
		return exitUsage
	}
	p := &process{out: out, logs: logs, level: c.LogLevel}
	p.log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: c.LogLevel}))
	slog.SetDefault(p.log)
	parsed.BindTo(ctx, (*context.Context)(nil))
	return p.report(parsed.Run(p))
}

// process is what every command may use of the process it runs in.
type process struct {
	out, logs io.Writer
	level     slog.Level
	log       *slog.Logger
}

// report tells the person what went wrong and picks the exit code.
func (p *process) report(err error) int {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintln(p.logs, "ridehail:", err)
		return exitUsage
	case errors.Is(err, errCheckFailed):
		fmt.Fprintln(p.logs, "ridehail:", err)
		return exitFailed
	case errors.Is(err, errUnreachable):
		fmt.Fprintln(p.logs, "ridehail:", err)
		return exitUnreachable
	}
	fmt.Fprintln(p.logs, "ridehail:", err)
	return exitFailed
}
