package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

func TestWhoSaysNoHelloIsSentAway(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.HelloWithin = 50 * time.Millisecond })
	if code := c.connectUnwelcomed(asProto, trips.Rider("r")).awaitClose(); code != wire.CloseNoAuth {
		t.Errorf("closed with %d", code)
	}
	if n := c.countDrops("no_hello"); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestPongsBuyNoTimeForAHello(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) {
		cfg.Limits.HelloWithin, cfg.Limits.SilentFor = 200*time.Millisecond, 100*time.Millisecond
	})
	p := c.connectUnwelcomed(asProto, trips.Rider("r"))
	stop := p.sendPongs()
	code := p.awaitClose()
	stop()
	if code != wire.CloseNoAuth {
		t.Errorf("closed with %d", code)
	}
}

func TestABadFirstFrameIsNoHello(t *testing.T) {
	c := newTestNode(t, nil)
	soon := testToken(t, c.auth, trips.RoleRider, "r")
	hello := func(token string) *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}}
	}
	for name, f := range map[string]*wire.ClientFrame{
		"no token": hello(""), "not a token": hello("a.b.c"), "a changed token": hello(soon[:len(soon)-2] + "xx"),
		"a command": availableFrame(true), "nothing": {},
	} {
		for _, sub := range []string{asJSONText, asProto, ""} {
			p := c.connectUnwelcomed(sub, trips.Rider("r"))
			p.sendFrame(f)
			if code := p.awaitClose(); code != wire.CloseNoAuth {
				t.Errorf("%s as %q: closed with %d", name, sub, code)
			}
		}
	}

	for sub, kind := range map[string]int{asJSONText: websocket.BinaryMessage, asProto: websocket.TextMessage} {
		p := c.connectUnwelcomed(sub, trips.Rider("r"))
		p.writeMessage(kind, []byte("{}"))
		if code := p.awaitClose(); code != wire.CloseNoAuth {
			t.Errorf("the wrong kind of message to %s: closed with %d", sub, code)
		}
	}

	if n := c.g.sessions.Len(); n != 0 {
		t.Errorf("%d of them are registered", n)
	}
}

func TestAPhoneWithoutSubprotocolSpeaksJSON(t *testing.T) {
	w := newTestNode(t, nil).connectPhone(trips.Driver("d"), "", nil).awaitWelcome()
	if w.UserId != "d" || w.Role != "driver" || w.Recovered || w.Trip != nil || w.Epoch == "" || w.ExpiresAtMs <= w.AtMs {
		t.Errorf("welcome %v", w)
	}
}

func TestOtherSitesPagesOpenNoSocket(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Origins = []string{"https://friend.example"} })
	own := "http://" + c.url[len("ws://"):len(c.url)-len("/v1/ws")]

	for origin, want := range map[string]int{
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden,
		"https://friend.example.evil.example": http.StatusForbidden,
		"https://friend.example":              http.StatusSwitchingProtocols, own: http.StatusSwitchingProtocols,
	} {
		if got := c.dialRefused(http.Header{"Origin": {origin}}); got != want {
			t.Errorf("a page of %s: %d, want %d", origin, got, want)
		}
	}
}

func TestARiderHasAFewSocketsAndNoMore(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.RiderSockets = 2 })
	first, second := c.connectPhone(trips.Rider("r"), asJSONText, nil), c.connectPhone(trips.Rider("r"), asProto, nil)
	third := c.connectUnwelcomed(asProto, trips.Rider("r"))
	third.sendHello(nil)
	if code := third.awaitClose(); code != wire.CloseTooManyOpen {
		t.Errorf("the third was closed with %d", code)
	}

	first.awaitHandled()
	second.awaitHandled()
	c.connectPhone(trips.Rider("other"), asProto, nil)
	first.conn.Close()
	c.awaitCondition("the first is gone", func() bool { return len(c.g.sessions.OfUser(trips.Rider("r"), nil)) == 1 })
	c.connectPhone(trips.Rider("r"), asProto, nil)
}

func TestADriversNextSocketReplacesTheLast(t *testing.T) {
	c := newTestNode(t, nil)
	for range 5 {
		first := c.connectPhone(trips.Driver("d"), asJSONText, nil)
		second := c.connectPhone(trips.Driver("d"), asProto, nil)
		if code := first.awaitClose(); code != wire.CloseReplaced {
			t.Errorf("the first was closed with %d", code)
		}

		second.mustDo(availableFrame(true))
		c.awaitCondition("one is left", func() bool { return len(c.g.sessions.OfUser(trips.Driver("d"), nil)) == 1 })
		if d, ok := c.drivers.Get("d"); !ok || !d.Connected || d.Status != "available" {
			t.Errorf("the driver who connected again is %+v", d)
		}

		second.awaitHandled()
	}
}

func TestAFullNodeSaysComeBackLater(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.Sockets = 2 })
	c.connectPhone(trips.Rider("r1"), asProto, nil)
	mute := c.dialSocket(asProto) // sockets count before they say hello
	if got := c.dialRefused(nil); got != http.StatusServiceUnavailable {
		t.Errorf("a third socket: %d", got)
	}

	mute.Close()
	c.awaitCondition("room is made", func() bool { return c.g.open.Load() == 1 })
	c.connectPhone(trips.Rider("r2"), asProto, nil)
	if n := c.countDrops("sockets_full"); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestATokensEndIsTheSocketsEnd(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, drivers string) {
		c := newTestNode(t, nil)
		p := c.connectPhone(trips.Rider("r"), riders, nil)
		c.pass(time.Hour)
		c.g.tickSessions()
		p.awaitHandled() // clocks differ a little
		c.pass(auth.ClockLeeway + time.Second)
		c.g.tickSessions()
		if code := p.awaitClose(); code != wire.CloseTokenEnded {
			t.Errorf("closed with %d", code)
		}
	})
}
