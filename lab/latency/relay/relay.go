// Package relay is the smallest server that carries a driver's updates to a
// rider: gorilla sockets, a map, an RWMutex and a direct write. It is the
// baseline for measurements of the node.
package relay

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// Relay forwards every message of /driver?id=X to the socket at /rider?id=X.
type Relay struct {
	up websocket.Upgrader

	mu     sync.RWMutex
	riders map[string]*rider
}

type rider struct {
	mu   sync.Mutex // one writer at a time
	conn *websocket.Conn
}

// New returns a relay without riders.
func New() *Relay {
	return &Relay{riders: map[string]*rider{}, up: websocket.Upgrader{ReadBufferSize: 1024, WriteBufferPool: &sync.Pool{}}}
}

// Handler serves both kinds of socket.
func (r *Relay) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/driver", r.serveDriver)
	mux.HandleFunc("/rider", r.serveRider)
	return mux
}

func (r *Relay) serveRider(w http.ResponseWriter, req *http.Request) {
	conn, err := r.up.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer conn.Close()

	id, me := req.URL.Query().Get("id"), &rider{conn: conn}
	r.mu.Lock()
	r.riders[id] = me
	r.mu.Unlock()
	defer r.removeRider(id, me)
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

func (r *Relay) removeRider(id string, me *rider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.riders[id] == me {
		delete(r.riders, id)
	}
}

func (r *Relay) serveDriver(w http.ResponseWriter, req *http.Request) {
	conn, err := r.up.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer conn.Close()

	id := req.URL.Query().Get("id")
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}

		r.mu.RLock()
		to := r.riders[id]
		r.mu.RUnlock()

		if to != nil {
			to.writeMessage(kind, data)
		}
	}
}

func (to *rider) writeMessage(kind int, data []byte) {
	to.mu.Lock()
	defer to.mu.Unlock()
	if to.conn.WriteMessage(kind, data) != nil {
		to.conn.Close() // its reader notices
	}
}
