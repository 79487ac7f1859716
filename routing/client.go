package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ridehail/ridehail/location"
)

// ErrUnavailable is returned by Client.Snap when the service fails; Route,
// Times and Matrix fall back to straight lines instead.
var ErrUnavailable = errors.New("the routing service is not available")

// ClientOptions tune a client. The zero value suits a service nearby.
type ClientOptions struct {
	Timeout  time.Duration // for a call and its retry together; 300 ms
	Failures int           // in a row before the service is left alone; 5
	// how long it is left alone after that; then one call tries again; 1 s
	Pause    time.Duration
	Now      func() time.Time // nil: time.Now
	Straight Straight         // of the city; the zero value: the built-in one's
	// Tracing makes a span of each call that belongs to a trace; nil: none.
	Tracing trace.TracerProvider
}

// backend asks a routing service in the service's own protocol and checks its
// answers. Errors wrap ErrOutsideCity, ErrNoRoute, errImplausible, or
// errServiceGone if the same call may succeed a moment later. Methods are safe
// for concurrent use.
type backend interface {
	requestRoute(ctx context.Context, from, to location.Point) (Route, error)
	requestMatrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, error)
	requestSnap(ctx context.Context, p location.Point) (location.Point, float64, error)
	matrixLimits() (places, pairs int) // of a matrix: on one side, and in all
}

// errServiceGone says that the service could not be reached.
var errServiceGone = errors.New("the service was not there")

// Client asks a routing service. When the service fails, Route, Times and
// Matrix answer with straight lines and say so. It is safe for concurrent use.
type Client struct {
	service   backend
	transport *http.Transport
	straight  Straight
	timeout   time.Duration
	breaker   circuitBreaker
	retries   retryBudget
	counts    counts
}

// Stats are a client's counters since it was made.
type Stats struct {
	Calls    uint64 // of Route, Times and Snap
	Road     uint64 // answered by the service
	Straight uint64 // answered by the straight line
	Retries  uint64
	// no answer, too late, or an error; each retry counts separately
	Failures uint64
	Lies     uint64 // answers that cannot be true
	// not asked because the service failed too often just before
	Skipped uint64
	// Of Calls, those that ended otherwise than at the first attempt: answered
	// at the second one, and not answered though the service was asked.
	AnsweredAgain, Unanswered uint64
	Matrices                  uint64 // calls for times; all others are for a way or a point
}

type counts struct {
	calls, road, straight, retries, failures, lies, skipped, again, unanswered, matrices atomic.Uint64
}

// osrmPrefix marks the URL of an OSRM server.
const osrmPrefix = "osrm:"

// NewClient returns a client of the service at url, such as
// http://localhost:8070, or of an OSRM server, such as
// osrm:http://localhost:5000. The caller must Close it.
func NewClient(url string, opts ClientOptions) *Client {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
	}

	now := opts.Now
	if now == nil {
		now = time.Now
	}

	var service backend
	if at, ok := strings.CutPrefix(url, osrmPrefix); ok {
		service = newOSRMBackend(&http.Client{Transport: transport}, at)
	} else {
		service = newRPCBackend(&http.Client{Transport: transport}, url, opts.Tracing)
	}

	return &Client{
		service: service, transport: transport, straight: cmp.Or(opts.Straight, BuiltInStraight),
		timeout: cmp.Or(opts.Timeout, 300*time.Millisecond),
		breaker: circuitBreaker{limit: cmp.Or(opts.Failures, 5), pause: cmp.Or(opts.Pause, time.Second), now: now},
		retries: retryBudget{tokens: maxTokens},
	}
}

// Close frees the idle connections. The client may not be used afterwards.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		AnsweredAgain: c.counts.again.Load(), Unanswered: c.counts.unanswered.Load(), Matrices: c.counts.matrices.Load(),
		Road: c.counts.road.Load(), Straight: c.counts.straight.Load(),
		Retries: c.counts.retries.Load(), Failures: c.counts.failures.Load(), Lies: c.counts.lies.Load(),
		Skipped: c.counts.skipped.Load(),
		Calls:   c.counts.calls.Load(), // last: a call that ended has begun
	}
}

// Route returns the fastest way by road, or a straight line when the service
// fails or is too late; Route.Source says which. It returns ErrOutsideCity,
// ErrNoRoute, location.ErrPoint, or context.Canceled when ctx was cancelled.
func (c *Client) Route(ctx context.Context, from, to location.Point) (Route, error) {
	if err := errors.Join(from.CheckRange(), to.CheckRange()); err != nil {
		return Route{}, err
	}
	var way Route
	err := c.callService(ctx, func(ctx context.Context) (err error) {
		way, err = c.service.requestRoute(ctx, from, to)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		c.counts.straight.Add(1)
		return c.straight.estimateRoute(from, to), nil
	}
	return way, err
}

// Times returns how long a car takes from each place to one, and the source: a
// Matrix with one column.
func (c *Client) Times(ctx context.Context, from []location.Point, to location.Point) ([]time.Duration, string, error) {
	rows, source, err := c.Matrix(ctx, from, []location.Point{to})
	if err != nil {
		return nil, "", err
	}

	times := make([]time.Duration, len(rows))
	for i, row := range rows {
		times[i] = row[0]
	}
	return times, source, nil
}

// Matrix returns a row for each place of from with the times a car takes to
// each place of to, NoWay where there is no way. The source is SourceRoad, or
// SourceStraight for all of them when the service fails or is too late. A
// matrix that is too large for one call is split. Errors are those of Route.
func (c *Client) Matrix(ctx context.Context, from, to []location.Point) ([][]time.Duration, string, error) {
	for _, p := range slices.Concat(from, to) {
		if err := p.CheckRange(); err != nil {
			return nil, "", err
		}
	}

	rows := make([][]time.Duration, len(from))
	places, pairs := c.service.matrixLimits()
	for columns := range slices.Chunk(to, places) {
		begin := 0
		for part := range slices.Chunk(from, min(places, pairs/len(columns))) {
			times, err := c.requestPart(ctx, part, columns)
			if errors.Is(err, ErrUnavailable) {
				c.counts.straight.Add(1)
				return c.straight.estimateMatrix(from, to), SourceStraight, nil
			}
			if err != nil {
				return nil, "", err
			}

			for i, row := range times {
				rows[begin+i] = append(rows[begin+i], row...)
			}
			begin += len(part)
		}
	}

	return rows, SourceRoad, nil
}

// requestPart requests a matrix that is small enough for one call.
func (c *Client) requestPart(ctx context.Context, from, to []location.Point) (rows [][]time.Duration, err error) {
	c.counts.matrices.Add(1)
	err = c.callService(ctx, func(ctx context.Context) (err error) {
		rows, err = c.service.requestMatrix(ctx, from, to)
		return err
	})
	return rows, err
}

// Snap returns the point on a road nearest to p and its distance in metres. It
// has no fallback: it returns ErrUnavailable when the service fails.
func (c *Client) Snap(ctx context.Context, p location.Point) (location.Point, float64, error) {
	if err := p.CheckRange(); err != nil {
		return location.Point{}, 0, err
	}
	var at location.Point
	var metres float64
	err := c.callService(ctx, func(ctx context.Context) (err error) {
		at, metres, err = c.service.requestSnap(ctx, p)
		return err
	})

	return at, metres, err
}

// callService calls ask once, and once more if the service could not be
// reached. It returns nil, ErrOutsideCity or ErrNoRoute from the service, the
// caller's own cancellation, or ErrUnavailable for everything else.
func (c *Client) callService(ctx context.Context, ask func(context.Context) error) error {
	c.counts.calls.Add(1)
	if !c.breaker.allowCall() {
		c.counts.skipped.Add(1)
		return fmt.Errorf("%w: it failed %d times in a row and is left alone for a moment", ErrUnavailable, c.breaker.limit)
	}
	asking, cancel := context.WithTimeout(ctx, c.callTimeout(ctx))
	defer cancel()

	err, again := c.countFailure(ctx, ask(asking)), false
	if errors.Is(err, errServiceGone) && asking.Err() == nil && c.retries.takeRetry() {
		c.counts.retries.Add(1)
		again = true
		err = c.countFailure(ctx, ask(asking))
	}

	if err == nil || errors.Is(err, ErrOutsideCity) || errors.Is(err, ErrNoRoute) {
		c.counts.road.Add(1)
		if again {
			c.counts.again.Add(1)
		}
		c.breaker.noteSuccess()
		c.retries.earnRetry()
		return err
	}

	c.counts.unanswered.Add(1)
	if ctx.Err() == context.Canceled { // says nothing about the service
		return ctx.Err()
	}

	c.breaker.noteFailure()
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// callTimeout returns how long a call may take. It leaves the caller a tenth of
// its own time for the fallback.
func (c *Client) callTimeout(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(c.timeout, time.Until(deadline)*9/10)
	}
	return c.timeout
}

// countFailure counts a bad answer and returns its argument.
func (c *Client) countFailure(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() == context.Canceled || errors.Is(err, ErrOutsideCity) || errors.Is(err, ErrNoRoute):
	case errors.Is(err, errImplausible):
		c.counts.lies.Add(1)
	default:
		c.counts.failures.Add(1)
	}
	return err
}
