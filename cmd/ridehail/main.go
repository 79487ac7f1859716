// Command ridehail is a ride-hailing city in real time: one node or many,
// simulators of everyone who uses it, and the tools that measure and check it.
// Each command reads its flags and calls one function of another package.
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

	"github.com/ridehail/ridehail/lab"
	"github.com/ridehail/ridehail/lab/demo"
	"github.com/ridehail/ridehail/lab/finding"
)

// cli is every command.
type cli struct {
	LogLevel slog.Level `help:"What to log on standard error: debug, info, warn or error." default:"info" env:"RIDEHAIL_LOG"`

	Demo      demoCmd      `cmd:"" help:"Run the whole city in one process: node, drivers, riders, payments, page."`
	Serve     serveCmd     `cmd:"" help:"Run one node."`
	Drivers   driversCmd   `cmd:"" help:"Simulate drivers against a node."`
	Riders    ridersCmd    `cmd:"" help:"Simulate riders against a node."`
	Latency   latencyCmd   `cmd:"" help:"Measure how long a driver's position takes to a rider's socket, hop by hop."`
	XRay      xrayCmd      `cmd:"" name:"xray" help:"Show one trip hop by hop: what it waited for, across all nodes."`
	Lab       labCmd       `cmd:"" help:"Answer questions about distributed systems by experiments."`
	Audit     auditCmd     `cmd:"" help:"Check the invariants of a database."`
	Migrate   migrateCmd   `cmd:"" help:"Create or update the schema of a database."`
	Import    importCmd    `cmd:"" help:"Make a city file from an OpenStreetMap extract."`
	Routing   routingCmd   `cmd:"" help:"Run the routing service on its own."`
	Payments  paymentsCmd  `cmd:"" help:"Run the payment provider's emulator."`
	Refund    refundCmd    `cmd:"" help:"Refund the fare of a trip that was completed by mistake."`
	Chaos     chaosCmd     `cmd:"" help:"Break a city of real processes on a seeded schedule and check that it kept every promise."`
	Cluster   clusterCmd   `cmd:"" help:"Start several nodes on this machine, and measure what each costs and how long positions take between them."`
	Simulate  simulateCmd  `cmd:"" help:"Simulate hours of a city in virtual time, and compare dispatch policies for the same people."`
	Scale     scaleCmd     `cmd:"" help:"Add up what many nodes would cost, from what was measured."`
	Operators operatorsCmd `cmd:"" hidden:"" help:"Simulate operators, beside simulated drivers and riders."`
	Queue     queueCmd     `cmd:"" help:"Show the jobs that were given up, and retry them."`
	Intruder  intruderCmd  `cmd:"" hidden:"" help:"Try what a client must not be able to do with other people's trips."`
}

// newCLI returns every command, with one for each experiment.
func newCLI(experiments []finding.Experiment) *cli {
	return &cli{Lab: newLabCmd(experiments)}
}

func main() {
	ctx, second := watchSignals()
	os.Exit(run(ctx, second, os.Args[1:], os.Stdout, os.Stderr))
}

// watchSignals returns a context that the first SIGTERM or Ctrl-C ends, and a
// channel that the second one closes. The third ends the program at once.
func watchSignals() (ctx context.Context, second <-chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	signals, hurry := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)

	go func() {
		<-signals
		stop()
		<-signals
		signal.Stop(signals)
		close(hurry)
	}()

	return ctx, hurry
}

// run runs the command that args name until it ends or ctx does, and returns
// the exit code. A second signal closes the channel.
func run(ctx context.Context, secondSignal <-chan struct{}, args []string, out, logs io.Writer) int {
	return newCLI(lab.All()).run(ctx, secondSignal, args, out, logs)
}

func (c *cli) run(ctx context.Context, secondSignal <-chan struct{}, args []string, out, logs io.Writer) int {
	exited := -1
	parser, err := kong.New(c, kong.Name("ridehail"),
		kong.Description("A ride-hailing city in real time. Begin with: ridehail demo"),
		kong.Writers(out, logs), kong.Vars{"demo_listen": demo.DefaultListen}, kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(logs, "ridehail:", err)
		return exitFailed
	}

	if len(args) == 0 {
		args = []string{"--help"}
	}

	parsed, err := parser.Parse(joinNegatives(args))
	if exited >= 0 { // --help was printed
		return exited
	}
	if err == nil {
		err = checkRanges(parsed.Flags())
	}
	if err != nil {
		fmt.Fprintf(logs, "ridehail: %v\nSee: %s --help\n", err, commandOf(err))
		return exitUsage
	}

	parsed.BindTo(ctx, (*context.Context)(nil))
	p := newProcess(out, logs, c.LogLevel)
	p.secondSignal = secondSignal
	return p.reportError(parsed.Run(p))
}

// commandOf returns the command that the parser was at, for its help.
func commandOf(err error) string {
	var parsing *kong.ParseError
	if errors.As(err, &parsing) && parsing.Context.Selected() != nil {
		return parsing.Context.Selected().FullPath()
	}
	return "ridehail"
}
