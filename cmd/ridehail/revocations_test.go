package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

// TestATokenRevokedOnOneNodeClosesItsSocketsOnTheOther has the nodes share
// nothing but Redis and Postgres.
func TestATokenRevokedOnOneNodeClosesItsSocketsOnTheOther(t *testing.T) {
	database, redis := realServices(t)
	nodes := make([]string, 2)
	admins := make([]string, 2)
	for i := range nodes {
		nodes[i], admins[i] = freeAddress(t), freeAddress(t)
		p := start(t, "serve", "--dev-tokens", "--listen", nodes[i], "--admin", admins[i], "--name", "node-"+nodes[i],
			"--database", database, "--redis", redis)
		awaitReady(t, p, "http://"+nodes[i])
	}

	rider := "r-" + uuid.NewString()[:8]
	conn, _, err := (&websocket.Dialer{Subprotocols: []string{wire.SubprotocolJSON}}).Dial("ws://"+nodes[1]+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	hello, err := json.Marshal(map[string]any{"hello": map[string]string{"token": token(t, "http://"+nodes[1], "rider", rider)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, hello); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); err != nil { // the welcome
		t.Fatal(err)
	}

	asked := time.Now()
	res, err := http.Post("http://"+admins[0]+"/admin/revocations", "application/json",
		strings.NewReader(`{"role":"rider","id":"`+rider+`"}`))
	if err != nil {
		t.Fatal(err)
	}

	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the revocation was answered %s", res.Status)
	}
	_, _, err = conn.ReadMessage()
	if closed := new(websocket.CloseError); !errors.As(err, &closed) || closed.Code != wire.CloseTokenEnded {
		t.Errorf("the socket on the other node ended with %v", err)
	}

	t.Logf("closed on the other node %v after it was asked for", time.Since(asked).Round(time.Millisecond))
}
