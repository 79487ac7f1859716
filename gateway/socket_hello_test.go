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
	c := newTown(t, func(cfg *Config) { cfg.Limits.HelloWithin = 50 * time.Millisecond })
	if code := c.knock(asProto, trips.Rider("r")).closed(); code != wire.CloseNoAuth {
		t.Errorf("closed with %d", code)
	}
	if n := c.drops("no_hello"); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestPongsBuyNoTimeForAHello(t *testing.T) {
	c := newTown(t, func(cfg *Config) {
		cfg.Limits.HelloWithin, cfg.Limits.SilentFor = 200*time.Millisecond, 100*time.Millisecond
	})
	p := c.knock(asProto, trips.Rider("r"))
	stop := p.ponging()
	code := p.closed()
	stop()
	if code != wire.CloseNoAuth {
		t.Errorf("closed with %d", code)
	}
}

func TestABadFirstFrameIsNoHello(t *testing.T) {
	c := newTown(t, nil)
	soon := testToken(t, c.auth, trips.RoleRider, "r")
	hello := func(token string) *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}}
	}
	for name, f := range map[string]*wire.ClientFrame{
		"no token": hello(""), "not a token": hello("a.b.c"), "a changed token": hello(soon[:len(soon)-2] + "xx"),
		"a command": available(true), "nothing": {},
	} {
		for _, sub := range []string{asJSONText, asProto, ""} {
			p := c.knock(sub, trips.Rider("r"))
			p.send(f)
			if code := p.closed(); code != wire.CloseNoAuth {
				t.Errorf("%s as %q: closed with %d", name, sub, code)
			}
		}
	}

	for sub, kind := range map[string]int{asJSONText: websocket.BinaryMessage, asProto: websocket.TextMessage} {
		p := c.knock(sub, trips.Rider("r"))
		p.write(kind, []byte("{}"))
		if code := p.closed(); code != wire.CloseNoAuth {
			t.Errorf("the wrong kind of message to %s: closed with %d", sub, code)
		}
	}

	if n := c.g.sessions.Len(); n != 0 {
		t.Errorf("%d of them are registered", n)
	}
}

func TestAPhoneWithoutSubprotocolSpeaksJSON(t *testing.T) {
	w := newTown(t, nil).connect(trips.Driver("d"), "", nil).welcome()
	if w.UserId != "d" || w.Role != "driver" || w.Recovered || w.Trip != nil || w.Epoch == "" || w.ExpiresAtMs <= w.AtMs {
		t.Errorf("welcome %v", w)
	}
}

func TestOtherSitesPagesOpenNoSocket(t *testing.T) {
	c := newTown(t, func(cfg *Config) { cfg.Origins = []string{"https://friend.example"} })
	own := "http://" + c.url[len("ws://"):len(c.url)-len("/v1/ws")]

	for origin, want := range map[string]int{
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden,
		"https://friend.example.evil.example": http.StatusForbidden,
		"https://friend.example":              http.StatusSwitchingProtocols, own: http.StatusSwitchingProtocols,
	} {
		if got := c.refusal(http.Header{"Origin": {origin}}); got != want {
			t.Errorf("a page of %s: %d, want %d", origin, got, want)
		}
	}
}

func TestARiderHasAFewSocketsAndNoMore(t *testing.T) {
	c := newTown(t, func(cfg *Config) { cfg.Limits.RiderSockets = 2 })
	first, second := c.connect(trips.Rider("r"), asJSONText, nil), c.connect(trips.Rider("r"), asProto, nil)
	third := c.knock(asProto, trips.Rider("r"))
	third.hello(nil)
	if code := third.closed(); code != wire.CloseTooManyOpen {
		t.Errorf("the third was closed with %d", code)
	}

	first.settled()
	second.settled()
	c.connect(trips.Rider("other"), asProto, nil)
	first.conn.Close()
	c.until("the first is gone", func() bool { return len(c.g.sessions.OfUser(trips.Rider("r"), nil)) == 1 })
	c.connect(trips.Rider("r"), asProto, nil)
}

func TestADriversNextSocketReplacesTheLast(t *testing.T) {
	c := newTown(t, nil)
	for range 5 {
		first := c.connect(trips.Driver("d"), asJSONText, nil)
		second := c.connect(trips.Driver("d"), asProto, nil)
		if code := first.closed(); code != wire.CloseReplaced {
			t.Errorf("the first was closed with %d", code)
		}

		second.does(available(true))
		c.until("one is left", func() bool { return len(c.g.sessions.OfUser(trips.Driver("d"), nil)) == 1 })
		if d, ok := c.drivers.Get("d"); !ok || !d.Connected || d.Status != "available" {
			t.Errorf("the driver who connected again is %+v", d)
		}

		second.settled()
	}
}

func TestAFullNodeSaysComeBackLater(t *testing.T) {
	c := newTown(t, func(cfg *Config) { cfg.Limits.Sockets = 2 })
	c.connect(trips.Rider("r1"), asProto, nil)
	mute := c.dial(asProto) // sockets count before they say hello
	if got := c.refusal(nil); got != http.StatusServiceUnavailable {
		t.Errorf("a third socket: %d", got)
	}

	mute.Close()
	c.until("room is made", func() bool { return c.g.open.Load() == 1 })
	c.connect(trips.Rider("r2"), asProto, nil)
	if n := c.drops("sockets_full"); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestATokensEndIsTheSocketsEnd(t *testing.T) {
	both(t, func(t *testing.T, riders, drivers string) {
		c := newTown(t, nil)
		p := c.connect(trips.Rider("r"), riders, nil)
		c.pass(time.Hour)
		c.g.tick()
		p.settled() // clocks differ a little
		c.pass(auth.ClockLeeway + time.Second)
		c.g.tick()
		if code := p.closed(); code != wire.CloseTokenEnded {
			t.Errorf("closed with %d", code)
		}
	})
}
