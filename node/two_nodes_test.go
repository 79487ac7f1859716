package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/store/audit"
	"github.com/ridehail/ridehail/wire"
)

// phone is a connected phone, with the frames that came and were not read.
type phone struct {
	*client.Session
	t      testing.TB
	frames chan *wire.ServerFrame
	events []string // of the trip, as they came

	// The car of a driver whom drive moves.
	place     atomic.Pointer[wire.Point]
	fixesSent atomic.Int64
}

// startPhone connects a phone to a node until the test ends, and returns when
// it was welcomed: what is told from now on, it hears. If it loses that node it
// tries the others.
func startPhone(t testing.TB, n *node.Node, role, id string, others ...*node.Node) *phone {
	t.Helper()
	servers := []string{n.PublicURL()}
	for _, other := range others {
		servers = append(servers, other.PublicURL())
	}
	phones := client.New(client.Config{Servers: servers})
	welcomed := make(chan struct{}, 1)
	p := &phone{t: t, frames: make(chan *wire.ServerFrame, 1000)}
	p.Session = phones.NewSession(client.SessionConfig{
		Token:   phones.DevTokens(role, id),
		OnFrame: func(f *wire.ServerFrame, _ time.Time) { p.frames <- &wire.ServerFrame{Body: f.Body} },
		OnWelcome: func(*wire.Welcome, bool) {
			select {
			case welcomed <- struct{}{}:
			default: // it came back
			}
		},
	})

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()

	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		phones.Close()
	})

	select {
	case <-welcomed:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s was not welcomed", id)
	}
	return p
}

// command sends a command and returns the trip of its answer.
func (p *phone) command(f *wire.ClientFrame) *wire.Trip {
	p.t.Helper()
	ack, err := p.Do(p.t.Context(), f)
	if err != nil {
		p.t.Fatal(err)
	}
	return ack.Trip
}

// drive sends where the car is, five times a second, until the test ends. The
// car may go to other places.
func (p *phone) drive(at *wire.Point) {
	p.place.Store(at)
	var driving sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	p.t.Cleanup(func() {
		stop()
		driving.Wait()
	})

	driving.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for seq := uint32(1); ctx.Err() == nil; seq++ {
			// One that is lost does not matter: the next is newer.
			_ = p.Send(client.NewFrame(&wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: p.place.Load(), Accuracy: 5}))
			p.fixesSent.Add(1)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
}

// driveTo moves the car that drive drives, and returns when a fix from there was
// sent.
func (p *phone) driveTo(to *wire.Point) {
	p.t.Helper()
	p.place.Store(to)

	// The first one may have been on its way from the last place.
	for end := p.fixesSent.Load() + 2; p.fixesSent.Load() < end; {
		select {
		case <-p.t.Context().Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitFrame reads a phone's frames as far as the first of a kind.
func awaitFrame[T any](p *phone, body func(*wire.ServerFrame) *T) *T {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case f := <-p.frames:
			if e := f.GetTripEvent(); e != nil {
				p.events = append(p.events, fmt.Sprint(e.Seq, " ", e.Kind))
			}
			if found := body(f); found != nil {
				return found
			}
		case <-late:
			p.t.Fatalf("no %T came; of the trip it heard %v", new(T), p.events)
		}
	}
}

func TestADriverOfOneNodeTakesTheRiderOfAnotherAndIsPaid(t *testing.T) {
	before := goleak.IgnoreCurrent()
	// when both nodes have stopped
	t.Cleanup(func() { goleak.VerifyNone(t, before) })

	rideAcrossTwoNodes(t, createDatabase(t))
}

// TestTwoNodesBehindPgBouncerDoTheSame has both nodes reach Postgres through a
// pooler that moves them from one connection to another.
func TestTwoNodesBehindPgBouncerDoTheSame(t *testing.T) {
	pooled := realService(t, "RIDEHAIL_TEST_PGBOUNCER")
	created, err := url.Parse(createDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	pooled.Path = created.Path
	rideAcrossTwoNodes(t, pooled.String())

	src, closeSource, err := store.OpenReadOnly(t.Context(), pooled.String())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Run(t.Context(), src, audit.Config{})
	if err = errors.Join(err, closeSource()); err != nil || report.Violations() != 0 || report.Trips != 1 {
		t.Errorf("%v\n%s", err, report.Text())
	}
}

// rideAcrossTwoNodes has a driver and a rider on two nodes make a whole ride.
func rideAcrossTwoNodes(t *testing.T, database string) {
	t.Helper()
	address, _ := openRedis(t)
	// The car crosses the city from one fix to the next.
	cfg := node.Config{Database: database, Redis: address, Speed: 1000}
	cfg.Name, cfg.DatabaseConns = "one", 5
	one := startNode(t, cfg)
	cfg.Name, cfg.DatabaseConns = "two", 0
	two := startNode(t, cfg)

	market, stadium := &wire.Point{Lng: 3.384979, Lat: 6.408022}, &wire.Point{Lng: 3.393263, Lat: 6.484199}
	driver, rider := startPhone(t, one, client.RoleDriver, "dayo"), startPhone(t, two, client.RoleRider, "ada")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	driver.drive(market)

	trip := rider.command(client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: stadium}))
	offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	if p := awaitFrame(rider, (*wire.ServerFrame).GetPosition); p.DriverId != "dayo" {
		t.Errorf("the rider sees the car of %q", p.DriverId)
	}

	for _, step := range []wire.Step{wire.Step_ARRIVE, wire.Step_START, wire.Step_COMPLETE} {
		if step == wire.Step_COMPLETE {
			driver.driveTo(stadium)
		}
		driver.command(client.NewFrame(&wire.MoveTrip{TripId: trip.Id, Step: step}))
	}

	receipt := awaitFrame(rider, (*wire.ServerFrame).GetReceipt)
	if receipt.TripId != trip.Id || receipt.Amount.GetMinor() != trip.Fare.GetMinor() {
		t.Errorf("receipt %v of trip %v", receipt, trip)
	}
	for n, max := range map[*node.Node]string{one: "5", two: "16"} {
		if figures := readMetrics(t, n); !strings.Contains(figures, `ridehail_database_connections{state="max"} `+max+"\n") ||
			!strings.Contains(figures, "ridehail_database_wait_seconds_total ") {
			t.Errorf("of the pool: %s", figures)
		}
	}
	if got := fmt.Sprint(rider.events); got != "[1 requested 2 reserved 3 arrived 4 on_trip 5 completed]" {
		t.Errorf("the rider heard %s", got)
	}
}

// readMetrics returns the metrics of a node's database.
func readMetrics(t *testing.T, n *node.Node) (figures string) {
	t.Helper()
	res, err := http.Get(n.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if strings.HasPrefix(line, "ridehail_database_") {
			figures += line
		}
	}
	return figures
}
