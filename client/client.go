// Package client connects a driver or a rider to the nodes, by the protocol of
// docs/protocol.md. Phone apps, bots and load tests use it.
//
// A Session stays connected. It reconnects after a lost connection, resumes
// where it stopped, and sends a command again under the same id until a node
// answers it. Conn is the layer below: one socket, without retries.
//
//	nodes := client.New(client.Config{Servers: []string{"http://localhost:8080"}})
//	defer nodes.Close()
//
//	rider := nodes.NewSession(client.SessionConfig{
//		Token: nodes.DevTokens(client.RoleRider, "ada"),
//		OnFrame: func(f *wire.ServerFrame, receivedAt time.Time) {
//			if e := f.GetTripEvent(); e != nil {
//				fmt.Println(e.Seq, e.Kind)
//			}
//		},
//	})
//	go rider.Run(ctx)
//
//	request := &wire.RequestTrip{Pickup: from, Dropoff: to}
//	ack, err := rider.Do(ctx, client.NewFrame(request))
package client

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

// The roles that a token or a welcome may name.
const (
	RoleDriver = "driver"
	RoleRider  = "rider"
)

const (
	// answerTimeout limits one request, handshake or welcome.
	answerTimeout       = 10 * time.Second
	answerTimeoutOfMany = 3 * time.Second // when there are other nodes to try
	defaultSilence      = 60 * time.Second
	writeTimeout        = 5 * time.Second
	goodbyeTimeout      = 200 * time.Millisecond
	maxIdlePerServer    = 64
)

// Config lists the nodes and says how to talk to them.
type Config struct {
	// Servers are the nodes' addresses, http://HOST:PORT. A session that loses
	// one node connects to the next.
	Servers []string

	// Codec encodes frames. Nil means wire.Proto.
	Codec wire.Codec

	// Name describes this program in a node's logs, such as "my-bot/1.0".
	Name string

	// Timeout limits one request, handshake or welcome. 0 means 10 s, or 3 s
	// when there are several servers.
	Timeout time.Duration

	// Silence is how long a connection may bring neither frame, ping nor pong
	// before it counts as lost. A client that sends meanwhile pings the node. 0
	// means 60 s, a negative value means forever.
	Silence time.Duration

	// DialsAtOnce limits how many sessions connect at the same time; the others
	// wait. 0 means no limit.
	DialsAtOnce int

	// HTTP sends the requests of CallAPI. Nil means a client of its own that
	// keeps idle connections.
	HTTP *http.Client
}

// Client holds what all sessions and connections to the same nodes share. Its
// methods may be called from any goroutine.
type Client struct {
	cfg       Config
	dialer    websocket.Dialer
	dialSlots chan struct{} // one element per connecting session; nil: no limit
}

// New makes a client. It opens no connection.
func New(cfg Config) *Client {
	if cfg.Codec == nil {
		cfg.Codec = wire.Proto
	}

	timeout := answerTimeout
	if len(cfg.Servers) > 1 {
		timeout = answerTimeoutOfMany
	}
	cfg.Timeout, cfg.Silence = cmp.Or(cfg.Timeout, timeout), cmp.Or(cfg.Silence, defaultSilence)
	cfg.Servers = slices.Clone(cfg.Servers)
	for i, s := range cfg.Servers {
		cfg.Servers[i] = strings.TrimSuffix(s, "/")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: cfg.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: maxIdlePerServer}}
	}

	c := &Client{cfg: cfg, dialer: websocket.Dialer{ReadBufferSize: 1024, WriteBufferPool: &sync.Pool{},
		HandshakeTimeout: cfg.Timeout, Subprotocols: []string{subprotocolFor(cfg.Codec)}}}
	if cfg.DialsAtOnce > 0 {
		c.dialSlots = make(chan struct{}, cfg.DialsAtOnce)
	}

	return c
}

// Close closes idle HTTP connections. It ends no session and no Conn.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }

// ServerForAttempt returns the address to use for an attempt, counted from 0.
// Successive attempts go through all servers in turn.
func (c *Client) ServerForAttempt(attempt int) string {
	return c.cfg.Servers[attempt%len(c.cfg.Servers)]
}

func subprotocolFor(codec wire.Codec) string {
	if codec.Text() {
		return wire.SubprotocolJSON
	}
	return wire.SubprotocolProto
}
