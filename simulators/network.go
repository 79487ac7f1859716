// Package simulators drives cars and orders rides like people with phones do. It knows a city's roads and a node's
// public doors, nothing else: what it sees is what any client would see, so it also watches that the node keeps its
// promises about order.
package simulators

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/wire"
)

// ErrUnreachable says that no node answered when a run began.
var ErrUnreachable = errors.New("no node answers there; is it running, and is the address right?")

// ErrRefused says that the node answered and wants no simulators.
var ErrRefused = errors.New("the node refuses")

const (
	answerWithin = 10 * time.Second // for one request or handshake
	turnWithin   = 3 * time.Second  // the same, of a node that is not the only one
	startWithin  = 15 * time.Second // for a node to come up before a run gives up
	dialsAtOnce  = 64               // so that thousands of phones do not storm the node
	longestHint  = 30 * time.Second // that a node's wish to be left alone is taken for
	overloadHint = 2 * time.Second  // of a node that closes with 1013
	dropMean     = 30 * time.Second // between two losses of a flaky phone's connection
)

// network is the way to the nodes, shared by the phones of one run.
type network struct {
	servers []string // a phone that lost one tries the next
	codec   wire.Codec
	client  *http.Client
	dialer  websocket.Dialer
	dialing chan struct{}
	stats   *Stats
	journal *journal.Journal // nil: none is kept
	log     *slog.Logger

	dropEvery time.Duration // mean time between two losses of a phone's connection; 0: never
	seed      uint64        // of the losses
}

// newNetwork takes the address of a node, or of several with commas between.
func newNetwork(server string, codec wire.Codec, stats *Stats, log *slog.Logger) *network {
	if codec == nil {
		codec = wire.Proto
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sub := wire.SubprotocolProto
	if codec.Text() {
		sub = wire.SubprotocolJSON
	}
	return &network{
		servers: strings.Split(server, ","), codec: codec, stats: stats, log: log,
		client:  &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: dialsAtOnce}},
		dialing: make(chan struct{}, dialsAtOnce),
		dialer: websocket.Dialer{ReadBufferSize: 1024, WriteBufferPool: &sync.Pool{}, HandshakeTimeout: answerWithin,
			Subprotocols: []string{sub}},
	}
}

// flaky makes every phone lose its connection now and then, without a close frame.
func (n *network) flaky(seed uint64, every time.Duration) { n.dropEvery, n.seed = every, seed }

// server is where a phone goes whose tries so far are counted.
func (n *network) server(turn int) string {
	return strings.TrimSuffix(n.servers[turn%len(n.servers)], "/")
}

// patience is how long a phone waits for a node's answer: less when there is another node to ask.
func (n *network) patience() time.Duration {
	if len(n.servers) > 1 {
		return turnWithin
	}
	return answerWithin
}

func (n *network) close() { n.client.CloseIdleConnections() }

// reach waits until the node gives out tokens. Errors: ErrUnreachable, ErrRefused, or the context's.
func (n *network) reach(ctx context.Context, role, id string) error {
	until := time.Now().Add(startWithin)
	for attempt := 0; ; attempt++ {
		_, err := n.token(ctx, n.server(attempt), role, id)
		switch {
		case err == nil || errors.Is(err, ErrRefused):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(until):
			return fmt.Errorf("%s: %w (%w)", strings.Join(n.servers, ", "), ErrUnreachable, err)
		}
		sleep.For(ctx, backoff(attempt, 0, comeBackAfter(err, 0)))
	}
}

// token asks a node's development issuer for a token.
func (n *network) token(ctx context.Context, server, role, id string) (string, error) {
	body, err := json.Marshal(map[string]string{"role": role, "id": id})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/dev/tokens", bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := n.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if err := refusal(res); err != nil {
		return "", fmt.Errorf("%w; start it with --dev-tokens", err)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("the node's answer %.80q holds no token", text)
	}
	return answer.Token, nil
}

// refusal makes an error of a status that is no success: final ones wrap ErrRefused, the others pass.
func refusal(res *http.Response) error {
	switch code := res.StatusCode; {
	case code < 300:
		return nil
	case code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout:
		return fmt.Errorf("%s: %w: %s", res.Request.URL.Path, ErrRefused, res.Status)
	default:
		return &laterError{fmt.Errorf("%s: %s", res.Request.URL.Path, res.Status), retryHint(res.Header.Get("Retry-After"))}
	}
}

// laterError is a refusal of a node that may say when to ask again; after is 0 when it does not.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// retryHint reads seconds; longer than longestHint counts as that, and what is no number as nothing.
func retryHint(header string) time.Duration {
	s, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return 0
	}
	return min(longestHint, time.Duration(s)*time.Second)
}

// comeBackAfter is the least time that a node asks to be left alone for, 0 if it does not ask.
func comeBackAfter(err error, code int) time.Duration {
	if later := new(laterError); errors.As(err, &later) {
		return later.after
	}
	if code == wire.CloseOverload {
		return overloadHint
	}
	return 0
}

// dial opens a socket to a node.
func (n *network) dial(ctx context.Context, server string) (*websocket.Conn, error) {
	conn, res, err := n.dialer.DialContext(ctx, "ws"+strings.TrimPrefix(server, "http")+"/v1/ws", nil)
	if err != nil {
		if res != nil && res.Request != nil {
			if no := refusal(res); no != nil {
				return nil, no
			}
		}
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	return conn, nil
}

// backoff is how long to wait before a try, attempt 0 being the first after a loss: doubling to 5 seconds, with full
// jitter so that a crowd spreads out. A node that goes away in peace has another one beside it, or is soon back. One that
// asks to be left alone is, for up to twice as long as it asks.
func backoff(attempt, code int, hint time.Duration) time.Duration {
	limit := min(5*time.Second, 200*time.Millisecond<<min(attempt, 10))
	if code == wire.CloseGoingAway && attempt == 0 {
		limit = 50 * time.Millisecond
	}
	return max(5*time.Millisecond+rand.N(limit), hint+rand.N(hint+1))
}
