// Package client speaks the protocol of docs/protocol.md to nodes, as a phone
// app or a bot does.
//
// A Session keeps a driver or rider connected: it comes back after a lost
// connection, resumes where it stopped, and sends a command again under the
// same id until it is answered. Conn is the layer below, one socket, for
// programs that decide all that themselves.
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

// Roles, as tokens and welcomes name them.
const (
	RoleDriver = "driver"
	RoleRider  = "rider"
)

const (
	answerTimeout = 10 * time.Second // one request, handshake or welcome
	// the same, of a node that is not the only one
	answerTimeoutOfMany = 3 * time.Second
	defaultSilence      = 60 * time.Second
	writeTimeout        = 5 * time.Second
	goodbyeTimeout      = 200 * time.Millisecond
	maxIdlePerServer    = 64
)

// Config says which nodes there are and how to talk to them.
type Config struct {
	// http://HOST:PORT; a session that lost one tries the next
	Servers []string
	Codec   wire.Codec // nil means wire.Proto
	// what Hello says of this program, such as "my-bot/1.0"; for logs
	Name string
	// for one answer; 0 means 10 s, or 3 s when there are several servers
	Timeout time.Duration
	// with neither frame nor ping, a connection counts as lost; 0 means 60 s,
	// below 0 never
	Silence time.Duration
	// sessions that connect at the same time, others wait; 0 means any number
	DialsAtOnce int
	HTTP        *http.Client // nil means one that keeps idle connections
}

// Client is the way to the nodes, shared by any number of sessions and
// connections. All methods may be called from any goroutine.
type Client struct {
	cfg    Config
	dialer websocket.Dialer
	// one element for each session that connects; nil: any number
	dialSlots chan struct{}
}

// New makes a client and connects nothing.
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

// Close closes idle HTTP connections. Sessions and sockets end on their own.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }

// ServerForAttempt returns the address of the server for a try, counted from 0.
func (c *Client) ServerForAttempt(try int) string { return c.cfg.Servers[try%len(c.cfg.Servers)] }

func subprotocolFor(codec wire.Codec) string {
	if codec.Text() {
		return wire.SubprotocolJSON
	}
	return wire.SubprotocolProto
}
