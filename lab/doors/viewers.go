package doors

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/line"
	"github.com/ridehail/ridehail/wire"
)

// door is one way for positions to reach a rider, and for a driver's to leave.
type door struct {
	name  string
	every time.Duration // between two polls; 0: it is no polling
	codec wire.Codec    // of a socket; nil: HTTP
	view  func(v *viewer, ctx context.Context)
}

// doors are the ways that are compared, in the order of the table.
var doors = []door{
	{name: "poll every 2 s", every: 2 * time.Second, view: (*viewer).poll},
	{name: "poll every 1 s", every: time.Second, view: (*viewer).poll},
	{name: "poll every 0.2 s", every: 200 * time.Millisecond, view: (*viewer).poll},
	{name: "long polling", view: (*viewer).pollLong},
	{name: "SSE", view: (*viewer).readStream},
	{name: "WebSocket, JSON", codec: wire.JSON, view: (*viewer).readSocket},
	{name: "WebSocket, protobuf", codec: wire.Proto, view: (*viewer).readSocket},
}

// serverURL returns where positions leave through a door: the node of the app,
// or the HTTP doors.
func (d door) serverURL(t *town, s *server) string {
	if d.codec != nil {
		return t.node.PublicURL()
	}
	return s.url
}

// crowd is the riders who come through one door.
type crowd struct {
	door
	viewers []*viewer
	http    *http.Transport
	meter   *line.Line // that their connections go through; nil: none

	cancel context.CancelFunc
	work   sync.WaitGroup
}

// viewer is one rider at one door.
type viewer struct {
	screen
	door  door
	pair  *pair
	url   string // of the door's server
	http  *http.Client
	phone *client.Client // nil: the door has no sockets

	// Of polling, fixed before it begins.
	firstPoll, lastPoll time.Time
}

// newCrowd returns a rider for each car, and tells all where the door's server
// is. None has come yet.
func newCrowd(d door, pairs []*pair, url string) *crowd {
	c := &crowd{door: d, http: &http.Transport{MaxIdleConnsPerHost: 2 * len(pairs)}}
	var phone *client.Client
	if d.codec != nil {
		phone = client.New(client.Config{Servers: []string{url}, Codec: d.codec, Silence: -1})
	}

	for _, p := range pairs {
		c.viewers = append(c.viewers, &viewer{door: d, pair: p, url: url, http: &http.Client{Transport: c.http}, phone: phone})
	}
	return c
}

// enter lets the riders come. They stay until leave.
func (c *crowd) enter(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	for _, v := range c.viewers {
		c.work.Go(func() { c.view(v, ctx) })
	}
}

// leave ends the riders' connections. It may be called twice.
func (c *crowd) leave() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	c.work.Wait()
	c.http.CloseIdleConnections()
}

// awaitFirst waits until all have seen their car.
func (c *crowd) awaitFirst(ctx context.Context) error {
	end := time.Now().Add(patience)

	for _, v := range c.viewers {
		for v.newestShown() == 0 {
			if time.Now().After(end) {
				return fmt.Errorf("%s: %s saw no car within %v", c.name, v.pair.riderID, patience)
			}
			if !sleep.For(ctx, time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// poll asks at even intervals, from the first poll to the last.
func (v *viewer) poll(ctx context.Context) {
	for sleep.Until(ctx, v.firstPoll); time.Now().Before(v.lastPoll); sleep.For(ctx, v.door.every) {
		v.get(ctx, "")
		v.notePoll(time.Now())
		if ctx.Err() != nil {
			return
		}
	}
}

// pollLong asks again as soon as there is an answer.
func (v *viewer) pollLong(ctx context.Context) {
	for ctx.Err() == nil {
		if !v.get(ctx, "&wait") && !sleep.For(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// get asks for a position newer than the one on the screen. It returns false
// when there is no answer.
func (v *viewer) get(ctx context.Context, wait string) bool {
	v.countRequest()
	url := fmt.Sprintf("%s%s?id=%s&after=%d%s", v.url, pathCar, v.pair.driverID, v.newestShown(), wait)
	res, err := ask(ctx, v.http, http.MethodGet, url, v.pair.riderToken, nil)
	if err != nil {
		return false
	}
	defer res.Body.Close()

	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return res.StatusCode == http.StatusNoContent
	}
	return v.showJSON(body)
}

func ask(ctx context.Context, phone *http.Client, method, url, token string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return phone.Do(req)
}

func (v *viewer) showJSON(frame []byte) bool {
	at := time.Now()
	var f wire.ServerFrame
	if wire.JSON.DecodeKnown(frame, &f) != nil || f.GetPosition() == nil {
		return false
	}
	v.showPosition(f.GetPosition(), at)
	return true
}

func (v *viewer) showPosition(p *wire.Position, at time.Time) {
	v.showNewest(p.Seq, wire.FromMillis(p.AtMs), at)
}

// readStream reads server-sent events.
func (v *viewer) readStream(ctx context.Context) {
	v.countRequest()
	url := fmt.Sprintf("%s%s?id=%s&after=0", v.url, pathStream, v.pair.driverID)
	res, err := ask(ctx, v.http, http.MethodGet, url, v.pair.riderToken, nil)
	if err != nil {
		return
	}
	defer res.Body.Close()

	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if frame, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			v.showJSON(frame)
		}
	}
}

// readSocket is a phone of the app, as it is.
func (v *viewer) readSocket(ctx context.Context) {
	v.countRequest()
	conn, err := dialSocket(ctx, v.phone, v.url, v.pair.riderToken)
	if err != nil {
		return
	}
	defer conn.Drop()
	defer context.AfterFunc(ctx, conn.Drop)()

	var f wire.ServerFrame
	for {
		at, err := conn.ReadFrame(&f)
		if err != nil {
			return
		}
		if p := f.GetPosition(); p != nil {
			v.showPosition(p, at)
			if conn.AckPosition(p) != nil {
				return
			}
		}
	}
}
