package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/store"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// answerWithin is long, as a busy machine may stop for seconds.
const answerWithin = 30 * time.Second

// nodeRungs returns the app's own doors: the WebSocket and the HTTP API of a
// node in this process, and the routing service by RPC.
func (r *ladderRig) nodeRungs() ([]rung, error) {
	n, err := r.startNode()
	if err != nil {
		return nil, err
	}
	phones := client.New(client.Config{Servers: []string{n.PublicURL()}, Timeout: answerWithin})
	r.onClose(func() error { phones.Close(); return nil })

	socket, err := r.openSocketRung(phones, n.PublicURL())
	if err != nil {
		return nil, err
	}
	near, err := r.openHTTPRung(phones, n)
	if err != nil {
		return nil, err
	}
	roads, err := r.openRPCRung(n.City())
	return []rung{socket, roads, near}, err
}

// startNode runs a node with its own embedded Redis and SQLite file.
func (r *ladderRig) startNode() (*node.Node, error) {
	n, err := node.Open(r.ctx, node.Config{Name: "ladder", Listen: "127.0.0.1:0", Database: filepath.Join(r.folder, "node.db"),
		City: "1", DevTokens: true, Secret: []byte("the secret of a ladder that lives for seconds"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}

	ctx, stop := context.WithCancel(r.ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	r.running.Go(func() { ended <- n.Run(ctx, func() { close(ready) }) })
	r.onClose(func() error {
		stop()
		return errors.Join(<-ended, n.Close())
	})

	select {
	case <-ready:
		r.addPart("node", n.PublicURL())
		return n, nil
	case err := <-ended:
		ended <- err // for onClose
		return nil, fmt.Errorf("the node ended before it was ready: %w", errors.Join(err, r.ctx.Err()))
	}
}

const (
	appBatch = 4
	// pingsPerSocket keeps each socket below the burst of frames that a node
	// takes. It is a multiple of the reads of one batch.
	pingsPerSocket = 30 * (appBatch + 1)
)

// openSocketRung pings a node as phones do: a frame there, a frame back, in
// protobuf over a WebSocket.
func (r *ladderRig) openSocketRung(phones *client.Client, server string) (rung, error) {
	token, err := phones.DevToken(r.ctx, server, client.RoleRider, "ada")
	if err != nil {
		return rung{}, err
	}

	away, err := r.openPhoneAway(phones, server, token)
	if err != nil {
		return rung{}, err
	}

	var conn *client.Conn
	pings := 0
	read := func(int) error {
		if pings%pingsPerSocket == 0 { // in the read that is not timed
			if conn, err = r.openPhone(phones, server, token); err != nil {
				return err
			}
		}
		pings++
		return pingNode(conn)
	}
	return rung{name: socketRung, band: byKernel, sizes: []int{0}, batch: appBatch, read: read,
		readAway: func() error { return pingNode(away) }}, nil
}

func (r *ladderRig) openPhone(phones *client.Client, server, token string) (*client.Conn, error) {
	conn, err := phones.Dial(r.ctx, server)
	if err != nil {
		return nil, err
	}
	r.onClose(func() error { conn.Close(); return nil })
	_, err = conn.SayHello(token, nil)
	return conn, err
}

func (r *ladderRig) openPhoneAway(phones *client.Client, server, token string) (*client.Conn, error) {
	address, err := r.openLine(server)
	if err != nil {
		return nil, err
	}
	return r.openPhone(phones, "http://"+address, token)
}

// pingNode sends a ping and waits for the pong.
func pingNode(conn *client.Conn) error {
	if err := conn.Send(client.NewFrame(&wire.Ping{T1Ms: 1})); err != nil {
		return err
	}
	for {
		var f wire.ServerFrame
		if _, err := conn.ReadFrame(&f); err != nil || f.GetPong() != nil {
			return err
		}
	}
}

// requestsPerRider keeps each rider below the rate that the API allows.
const requestsPerRider = 30

// nearbyCars asks a node's HTTP API for the cars nearby, of which there is one.
type nearbyCars struct {
	ctx    context.Context
	phones *client.Client
	driver sharedstate.DriverHandle
	server string
	away   string // the same over the line
	tokens []string
	asked  int
}

func (r *ladderRig) openHTTPRung(phones *client.Client, n *node.Node) (rung, error) {
	address, err := r.openLine(n.PublicURL())
	if err != nil {
		return rung{}, err
	}

	q := &nearbyCars{ctx: r.ctx, phones: phones, server: n.PublicURL(), away: "http://" + address}
	reads := (appBatch + 3) * r.run.Int("rounds")
	for i := range 1 + reads/requestsPerRider {
		token, err := phones.DevToken(r.ctx, n.PublicURL(), client.RoleRider, "rider-"+strconv.Itoa(i))
		if err != nil {
			return rung{}, err
		}
		q.tokens = append(q.tokens, token)
	}

	q.driver = n.Drivers().Connect("dayo", n.Name())
	n.Drivers().SetAvailable("dayo", true)
	return rung{name: httpRung, band: byKernel, sizes: []int{0}, batch: appBatch, read: func(int) error { return q.askServer(q.server) },
		readAway: func() error { return q.askServer(q.away) }}, nil
}

// askServer asks again where the machine stopped for so long that the car
// counted as silent, and so not as nearby.
func (q *nearbyCars) askServer(server string) (err error) {
	for range 3 {
		if err = q.askOnce(server); !errors.Is(err, errWrongAnswer) {
			break
		}
	}
	return err
}

func (q *nearbyCars) askOnce(server string) error {
	// The move takes 1 of 500 parts of the answer's time.
	q.driver.Move(location.Fix{Point: marina, At: time.Now()}, time.Now())
	token := q.tokens[q.asked/requestsPerRider%len(q.tokens)]
	q.asked++

	var answer struct {
		Cars []struct{ ID string }
	}
	err := q.phones.CallAPI(q.ctx, server, client.Request{Method: http.MethodGet, Token: token,
		Path: fmt.Sprintf("/v1/nearby?lng=%g&lat=%g", marina.Lng, marina.Lat)}, &answer)
	if err == nil && len(answer.Cars) != 1 {
		err = errWrongAnswer
	}
	return err
}

// openRPCRung asks the routing service for the road nearest to a point.
func (r *ladderRig) openRPCRung(city *routing.City) (rung, error) {
	listener, err := (&net.ListenConfig{}).Listen(r.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return rung{}, err
	}
	server := &http.Server{Handler: routing.NewHandler(routing.NewRouter(city)), ReadHeaderTimeout: time.Second}
	r.onClose(server.Close)
	r.running.Go(func() { _ = server.Serve(listener) }) // until it is closed

	url := "http://" + listener.Addr().String()
	r.addPart("routing service", url)
	address, err := r.openLine(url)
	if err != nil {
		return rung{}, err
	}

	spot := city.Hotspots()[0].Point
	ask := func(url string) func() error {
		roads := routing.NewClient(url, routing.ClientOptions{Timeout: answerWithin})
		r.onClose(func() error { roads.Close(); return nil })
		return func() error {
			_, _, err := roads.Snap(r.ctx, spot)
			return err
		}
	}
	near := ask(url)
	return rung{name: rpcRung, band: byKernel, sizes: []int{0}, batch: appBatch, read: func(int) error { return near() },
		readAway: ask("http://" + address)}, nil
}

// redisRungs returns one answer of Redis, embedded and, where a person names
// one, real: the number of jobs that wait.
func (r *ladderRig) redisRungs() ([]rung, error) {
	embedded, err := events.OpenEmbedded()
	if err != nil {
		return nil, err
	}
	r.onClose(embedded.Close)
	r.addPart("embedded Redis", "this process, over TCP")
	out := []rung{redisRungOf(r.ctx, redisRung, embedded)}
	if r.run.Redis == "" {
		return out, nil
	}

	server, err := events.Open(r.ctx, r.run.Redis)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", finding.ErrUnreachable, err)
	}
	r.onClose(server.Close)
	r.addPart("Redis", "as --redis says")
	return append(out, redisRungOf(r.ctx, realRedisRung, server)), nil
}

func redisRungOf(ctx context.Context, name string, server *events.Redis) rung {
	return rung{name: name, band: byKernel, sizes: []int{0}, batch: kernelBatch, read: func(int) error {
		_, err := server.CountOutstanding(ctx, "ladder")
		return err
	}}
}

// storeRungs returns a read and a commit of the app's SQLite store, and a read
// of Postgres where a person names one. Nothing is written there.
func (r *ladderRig) storeRungs() ([]rung, error) {
	path := filepath.Join(r.folder, "ladder.db")
	file, closeFile, err := store.Open(r.ctx, path, store.Options{})
	if err != nil {
		return nil, err
	}
	r.onClose(closeFile)
	r.addPart("SQLite", path)

	commits := 0
	commit := func(int) error {
		commits++
		return commitRequest(r.ctx, file, commits)
	}
	if err := commit(0); err != nil {
		return nil, err
	}
	out := []rung{
		{name: sqliteRung, band: byKernel, sizes: []int{0}, batch: 4, read: func(int) error {
			_, err := file.ActiveTrip(r.ctx, trips.Rider("rider-1"))
			return err
		}},
		{name: commitRung, band: byDisk, sizes: []int{0}, batch: 1, read: commit},
	}
	if r.run.Database == "" {
		return out, nil
	}

	database, closeDatabase, err := store.Open(r.ctx, r.run.Database, store.Options{Log: r.run.Log})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", finding.ErrUnreachable, err)
	}
	r.onClose(closeDatabase)
	r.addPart("Postgres", "as --database says")
	return append(out, rung{name: postgresRung, band: byKernel, sizes: []int{0}, batch: 2, read: func(int) error {
		_, err := database.ActiveTrip(r.ctx, trips.Rider("a rider of the lab who never was"))
		if errors.Is(err, trips.ErrNotFound) {
			return nil
		}
		return err
	}}), nil
}

// commitRequest commits the request of a new rider.
func commitRequest(ctx context.Context, file store.Store, number int) error {
	rider, trip := trips.RiderID("rider-"+strconv.Itoa(number)), trips.TripID("trip-"+strconv.Itoa(number))
	quote := trips.Quote{Metres: 21_000, Fare: trips.Money{Minor: 562_000, Currency: "NGN"}, Source: "road"}
	request, err := trips.Request(trip, rider, marina, location.Point{Lng: 3.32, Lat: 6.58}, quote, time.Now())
	if err != nil {
		return err
	}
	key := trips.IdempotencyKey{Actor: trips.Rider(rider), ID: "tap", Fingerprint: "request"}
	_, err = file.Apply(ctx, trips.Command{Key: key, Event: request})
	return err
}
