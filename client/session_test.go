package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// retryAtOnce is the usual policy without its waits.
func retryAtOnce(attempt int, err error) (time.Duration, bool) {
	_, again := New(Config{}).DefaultRetry(attempt, err)
	return 0, again
}

func TestASessionResumesAndSendsTheSameCommandAgain(t *testing.T) {
	for name, codec := range map[string]wire.Codec{wire.SubprotocolProto: wire.Proto, wire.SubprotocolJSON: wire.JSON} {
		t.Run(name, func(t *testing.T) {
			n := newFakeNode(t)
			welcomes := make(chan bool, 2)
			chats := make(chan string, 2)
			s := startSessionAt(t, n, func(cfg *Config, session *SessionConfig) {
				cfg.Codec = codec
				session.OnWelcome = func(_ *wire.Welcome, resumed bool) { welcomes <- resumed }
				session.OnFrame = func(f *wire.ServerFrame, _ time.Time) {
					if c := f.GetChat(); c != nil {
						chats <- c.Text
					}
				}
			})

			c, hello := n.welcomeNext(&wire.Welcome{Trip: &wire.Trip{Id: "t", Version: 2, State: StateReserved}, ChatSeq: 3})
			if hello.Token != "rider/ada/1" || hello.Client != "test/1" || hello.Resume != nil || c.ws.Subprotocol() != name {
				t.Fatalf("%v over %s", hello, c.ws.Subprotocol())
			}
			c.send(&wire.ServerFrame{Body: &wire.ServerFrame_TripEvent{TripEvent: &wire.TripEvent{TripId: "t", Seq: 3}}})
			c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Chat{Chat: &wire.ChatMessage{TripId: "t", Seq: 4, Text: "hello"}}})
			if text := receiveIn(t, chats, "the message"); text != "hello" {
				t.Fatal(text)
			}
			answers := doAsync(s, NewFrame(&wire.SendChat{TripId: "t", Text: "I come"}))
			first := c.nextFrame()
			_ = c.ws.NetConn().Close() // the ack is lost

			c, hello = n.welcomeNext(&wire.Welcome{Recovered: true})
			r := hello.Resume
			if hello.Token != "rider/ada/1" || r.GetEpoch() != "e" || r.TripId != "t" || r.TripSeq != 3 || r.ChatSeq != 4 {
				t.Fatalf("came back with %v", hello)
			}
			if again := c.nextFrame(); again.Id == "" || again.Id != first.Id || again.GetSendChat().GetText() != "I come" {
				t.Fatalf("sent %v, then %v", first, again)
			}
			c.sendAck(&wire.Ack{Id: first.Id, ChatSeq: 5})
			if a := receiveIn(t, answers, "the answer"); a.err != nil || a.ack.ChatSeq != 5 || s.UnansweredCommands() != 0 {
				t.Fatalf("%+v", a)
			}
			if <-welcomes || !<-welcomes {
				t.Fatal("only the second connection resumes")
			}
		})
	}
}

func TestCreditIsGivenBackForEverySecondPosition(t *testing.T) {
	n := newFakeNode(t)
	startSessionAt(t, n, nil)
	c, _ := n.welcomeNext(&wire.Welcome{})
	for i := range uint32(5) {
		c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{N: i + 1}}})
	}

	for _, want := range []uint32{2, 4} {
		if got := c.nextFrame().GetPositionAck().GetN(); got != want {
			t.Fatalf("acked %d, want %d", got, want)
		}
	}

	_ = c.ws.NetConn().Close()
	c, _ = n.welcomeNext(&wire.Welcome{Recovered: true})
	c.send(&wire.ServerFrame{Body: &wire.ServerFrame_Position{Position: &wire.Position{N: 2}}})
	if got := c.nextFrame().GetPositionAck().GetN(); got != 2 {
		t.Fatalf("a new connection acked %d", got)
	}
}

func TestASessionStaysAwayOnlyAfterCodesThatSaySo(t *testing.T) {
	for _, code := range []int{wire.CloseReplaced, wire.CloseTooManyOpen, wire.ClosePolicy, wire.CloseTooBig, wire.CloseBadData} {
		n := newFakeNode(t)
		_, ended := startSession(t, []string{n.URL}, nil)
		c, _ := n.welcomeNext(&wire.Welcome{})
		c.closeWith(code)
		if err := receiveIn(t, ended, "the end"); CloseCode(err) != code {
			t.Errorf("after %d: %v", code, err)
		}
	}

	for _, code := range []int{wire.CloseGoingAway, wire.CloseInternal, wire.CloseOverload, wire.CloseSlow, wire.CloseSilent} {
		n := newFakeNode(t)
		startSessionAt(t, n, nil)
		c, _ := n.welcomeNext(&wire.Welcome{})
		c.closeWith(code)
		n.welcomeNext(&wire.Welcome{Recovered: true})
	}
}

func TestAnEndedTokenIsReplacedAndANewOneMustDo(t *testing.T) {
	n := newFakeNode(t)
	_, ended := startSession(t, []string{n.URL}, nil)
	c, _ := n.welcomeNext(&wire.Welcome{})
	c.closeWith(wire.CloseTokenEnded)

	c, hello := n.welcomeNext(&wire.Welcome{Recovered: true})
	if hello.Token != "rider/ada/2" {
		t.Fatalf("came back with %q", hello.Token)
	}

	_ = c.ws.NetConn().Close()
	c = n.acceptConn()
	c.nextFrame()
	// As a node does that does not know the token.
	c.closeWith(wire.CloseNoAuth)

	c = n.acceptConn()
	if token := c.nextFrame().GetHello().GetToken(); token != "rider/ada/3" {
		t.Fatalf("came back with %q", token)
	}

	// A new token that is refused will not get better.
	c.closeWith(wire.CloseNoAuth)
	if err := receiveIn(t, ended, "the end"); CloseCode(err) != wire.CloseNoAuth {
		t.Fatal(err)
	}
}

func TestTheNextServerIsTriedAfterALoss(t *testing.T) {
	first, second := newFakeNode(t), newFakeNode(t)
	startSession(t, []string{first.URL, second.URL + "/"}, nil)
	c, _ := first.welcomeNext(&wire.Welcome{})
	c.closeWith(wire.CloseGoingAway)
	if _, hello := second.welcomeNext(&wire.Welcome{}); hello.Resume.GetEpoch() != "e" {
		t.Fatalf("%v", hello)
	}
}

func TestAFullNodesRefusalReachesTheRetryPolicy(t *testing.T) {
	n := newFakeNode(t)
	n.refuse = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, ended := startSession(t, []string{n.URL}, func(_ *Config, session *SessionConfig) {
		session.Retry = func(attempt int, err error) (time.Duration, bool) {
			if RetryAfter(err) != 7*time.Second {
				t.Errorf("attempt %d: %v", attempt, err)
			}
			return 0, attempt < 2
		}
	})
	if err := receiveIn(t, ended, "the end"); errors.Is(err, ErrRefused) || RetryAfter(err) != 7*time.Second {
		t.Fatal(err)
	}
}

func TestANodeWithoutTokensRefuses(t *testing.T) {
	srv := newFakeNode(t)
	c := New(Config{})
	defer c.Close()

	err := c.CallAPI(t.Context(), srv.URL, Request{Method: http.MethodGet, Path: "/v1/elsewhere"}, nil)
	refused, ok := errors.AsType[*StatusError](err)
	if !errors.Is(err, ErrRefused) || !ok || refused.Status != http.StatusNotFound {
		t.Error(err)
	}
	if _, err := c.DevToken(t.Context(), "http://bad host", RoleRider, "ada"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

// A node of tomorrow sends fields and frames that this client does not know.
func TestASessionGoesOnWhenANewerNodeSaysMore(t *testing.T) {
	for name, codec := range map[string]wire.Codec{wire.SubprotocolProto: wire.Proto, wire.SubprotocolJSON: wire.JSON} {
		t.Run(name, func(t *testing.T) {
			n := newFakeNode(t)
			refused := make(chan *wire.FixRefused, 1)
			startSessionAt(t, n, func(cfg *Config, session *SessionConfig) {
				cfg.Codec = codec
				session.OnDisconnect = func(err error, _ bool) {
					if t.Context().Err() == nil {
						t.Errorf("the connection ended: %v", err)
					}
				}
				session.OnFrame = func(f *wire.ServerFrame, _ time.Time) {
					if f.Body != nil {
						refused <- f.GetFixRefused()
					}
				}
			})

			c, _ := n.welcomeNext(&wire.Welcome{})
			kind, tomorrow := 2, []byte("\xfa\x7f\x03new")
			if codec.Text() {
				kind, tomorrow = 1, []byte(`{"weather":{"rain":true}}`)
			}
			if err := c.ws.WriteMessage(kind, tomorrow); err != nil {
				t.Fatal(err)
			}

			c.send(&wire.ServerFrame{Body: &wire.ServerFrame_FixRefused{FixRefused: &wire.FixRefused{Reason: string(wire.FixTooOld), Count: 2}}})
			if f := receiveIn(t, refused, "what follows"); f.GetReason() != "too_old" || f.GetCount() != 2 {
				t.Errorf("got %v", f)
			}
		})
	}
}

func TestAFirstFrameThatIsNoWelcomeIsAFaultOfTheNode(t *testing.T) {
	n := newFakeNode(t)
	faults := make(chan error, 8)
	startSessionAt(t, n, func(_ *Config, session *SessionConfig) {
		session.OnDisconnect = func(err error, welcomed bool) {
			if !welcomed {
				faults <- err
			}
		}
	})

	c := n.acceptConn()
	c.sendAck(&wire.Ack{})

	fault, ok := errors.AsType[*ProtocolError](receiveIn(t, faults, "the fault"))
	if !ok || fault.What != "the first frame is *wire.ServerFrame_Ack, not a welcome" {
		t.Fatal(fault)
	}

	n.welcomeNext(&wire.Welcome{})
}

func TestASilentNodeCountsAsLostAndOneThatPingsDoesNot(t *testing.T) {
	n := newFakeNode(t)
	lost := make(chan error, 8)
	startSessionAt(t, n, func(cfg *Config, session *SessionConfig) {
		cfg.Silence = 300 * time.Millisecond
		session.OnDisconnect = func(err error, _ bool) { lost <- err }
	})
	c, _ := n.welcomeNext(&wire.Welcome{})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()

	for range 12 {
		<-tick.C
		_ = c.ws.WriteControl(9, nil, time.Now().Add(time.Second))
	}

	if len(lost) > 0 {
		t.Fatalf("lost although it pings: %v", <-lost)
	}
	receiveIn(t, lost, "the end of patience")
	n.welcomeNext(&wire.Welcome{})
}

// A node hears a driver's positions, so it does not ping, and has nothing to
// say while there is no offer.
func TestADriverWhoGetsNoOffersKeepsTheConnection(t *testing.T) {
	const silence = 1500 * time.Millisecond
	n := newFakeNode(t)
	welcomed, lost := make(chan bool, 64), make(chan error, 64)
	s := startSessionAt(t, n, func(cfg *Config, session *SessionConfig) {
		cfg.Silence = silence
		session.OnWelcome = func(_ *wire.Welcome, resumed bool) { welcomed <- resumed }
		session.OnDisconnect = func(err error, _ bool) { lost <- err }
	})
	c, _ := n.welcomeNext(&wire.Welcome{})
	receiveIn(t, welcomed, "the welcome")

	for quiet := time.Now().Add(silence * 4 / 3); time.Now().Before(quiet); time.Sleep(20 * time.Millisecond) {
		if err := s.Send(NewFrame(&wire.Fix{})); err != nil {
			t.Fatal(err)
		}
		c.nextFrame()
	}
	select {
	case err := <-lost:
		t.Fatal("lost: ", err)
	default:
	}
}

func TestEndingASessionSaysGoodbyeAndEndsItsCommands(t *testing.T) {
	n := newFakeNode(t)
	c := New(Config{Servers: []string{n.URL}})
	defer c.Close()

	s := c.NewSession(SessionConfig{Token: c.DevTokens(RoleRider, "ada")})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	conn, _ := n.welcomeNext(&wire.Welcome{})
	answers := doAsync(s, NewFrame(&wire.Sos{TripId: "t"}))
	conn.nextFrame()
	cancel()
	if err := receiveIn(t, ended, "the end"); err != nil {
		t.Fatal(err)
	}
	if a := receiveIn(t, answers, "the answer"); !errors.Is(a.err, ErrEnded) {
		t.Fatal(a.err)
	}

	for range conn.frames { // Closed when the node has read everything.
	}
	if conn.code != 1000 {
		t.Errorf("closed with %d", conn.code)
	}
	if _, err := s.Do(t.Context(), NewFrame(&wire.Sos{})); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if err := s.Send(NewFrame(&wire.Fix{})); !errors.Is(err, ErrNotConnected) {
		t.Error(err)
	}
}

func TestASessionEndsWhileItWaitsForTheWelcome(t *testing.T) {
	n := newFakeNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := New(Config{Servers: []string{n.URL}, DialsAtOnce: 1})
	defer c.Close()

	ended := make(chan error, 2)
	for range 2 { // the second waits for its turn to connect
		s := c.NewSession(SessionConfig{Token: c.DevTokens(RoleRider, "ada")})
		go func() { ended <- s.Run(ctx) }()
	}

	n.acceptConn().nextFrame()
	cancel()

	for range 2 {
		if err := receiveIn(t, ended, "the end"); err != nil {
			t.Fatal(err)
		}
	}

	if len(n.conns) != 0 {
		t.Error("two connected at the same time")
	}
}

func TestEveryBodyGoesIntoItsFrame(t *testing.T) {
	frames := []*wire.ClientFrame{NewFrame(&wire.Hello{}), NewFrame(&wire.Fix{}), NewFrame(&wire.PositionAck{}), NewFrame(&wire.SetAvailable{}),
		NewFrame(&wire.AnswerOffer{}), NewFrame(&wire.RequestTrip{}), NewFrame(&wire.MoveTrip{}), NewFrame(&wire.CancelTrip{}),
		NewFrame(&wire.SendChat{}), NewFrame(&wire.Sos{}), NewFrame(&wire.Typing{}), NewFrame(&wire.WatchArea{}), NewFrame(&wire.Ping{})}
	var names []string
	for _, f := range frames {
		m := f.ProtoReflect()
		if body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body")); body != nil {
			names = append(names, string(body.Name()))
		}
	}

	bodies := new(wire.ClientFrame).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	slices.Sort(names)
	if len(slices.Compact(names)) != bodies.Len() {
		t.Errorf("%q of %d bodies", names, bodies.Len())
	}
}
