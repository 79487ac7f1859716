package faults

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openEcho returns a line to a server that says what it hears.
func openEcho(t testing.TB) *Line {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})

	l, err := OpenLine(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); server.Close(); serving.Wait() })
	return l
}

func dial(t *testing.T, l *Line) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// roundTrip says a text and returns how long its echo took.
func roundTrip(t testing.TB, conn net.Conn, text string) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
	return time.Since(began)
}

// awaitEnd waits until a connection has ended.
func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v, from a connection that was cut", n, err)
	}
}

// expectRefusal opens a connection that ends at once.
func expectRefusal(t *testing.T, l *Line) {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address())
	if err == nil { // else the end was faster still
		defer conn.Close()
		awaitEnd(t, conn)
	}
}

func TestALineThatIsLongerDelaysBothWaysAndHealsOpenConnections(t *testing.T) {
	l := openEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "before")

	const delay = 30 * time.Millisecond
	l.SetDelay(delay)
	roundTrip(t, conn, "may be as fast as before")
	if took := roundTrip(t, conn, "during"); took < 2*delay {
		t.Errorf("%v each way, and a round trip took %v", delay, took)
	}
	if took := roundTrip(t, dial(t, l), "a new one"); took < 2*delay {
		t.Errorf("%v each way, and the first round trip of a connection took %v", delay, took)
	}

	l.SetDelay(0)
	least := time.Hour
	for range 20 {
		least = min(least, roundTrip(t, conn, "after"))
	}
	if least >= delay {
		t.Errorf("the delay is off, and a round trip still takes %v", least)
	}
}

func TestChangesWhileBytesAreUnderWayLoseAndReorderNone(t *testing.T) {
	l := openEcho(t)
	said := make([]byte, 4<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range said {
		said[i] = byte(rng.Uint32())
	}

	conn := dial(t, l)
	heard := make(chan []byte, 1)
	go func() {
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		heard <- b
	}()

	for i := 0; i < len(said); i += 64 << 10 {
		l.SetDelay(time.Duration(i/(64<<10)%3) * time.Millisecond)
		if _, err := conn.Write(said[i : i+64<<10]); err != nil {
			t.Fatal(err)
		}
	}
	l.SetDelay(0)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b := <-heard; !bytes.Equal(b, said) {
		t.Errorf("heard %d bytes of %d, or others", len(b), len(said))
	}
}

func TestALineThatIsAwayCutsAndRefusesAndComesBackAtItsAddress(t *testing.T) {
	l := openEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "before")

	l.SetAway(true)
	awaitEnd(t, conn)
	expectRefusal(t, l)
	if n := l.Refused(); n != 1 {
		t.Errorf("refused %d connections, want 1", n)
	}

	l.SetAway(false)
	roundTrip(t, dial(t, l), "after")
}

func TestCutTakesThoseThatBeginAsWanted(t *testing.T) {
	l := openEcho(t)
	socket, request := dial(t, l), dial(t, l)
	roundTrip(t, socket, "GET /v1/ws HTTP/1.1")
	roundTrip(t, request, "GET /v1/city HTTP/1.1")

	if n := l.Cut(isSocket); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	awaitEnd(t, socket)
	roundTrip(t, request, "again")
}

func TestTheNewestSocketIsSlowAloneAndCatchesUpWhenItIsOver(t *testing.T) {
	l := openEcho(t)
	old := dial(t, l)
	roundTrip(t, old, "GET /v1/ws")
	slow := dial(t, l)
	roundTrip(t, slow, "GET /v1/ws")
	l.SlowOne(isSocket)
	l.SlowOne(isSocket) // one is slow already

	text := strings.Repeat("x", 100*slowRate) // 100 s
	if _, err := io.WriteString(slow, text); err != nil {
		t.Fatal(err)
	}
	for l.LongestWait() == 0 {
		time.Sleep(time.Millisecond)
	}
	if took := roundTrip(t, old, "hello"); took > 5*time.Second {
		t.Errorf("another phone's round trip took %v", took)
	}

	l.SlowNone()
	if _, err := io.ReadFull(slow, make([]byte, len(text))); err != nil {
		t.Error(err)
	}
	if l.LongestWait() != 0 {
		t.Error("something still waits for the phone that was slow")
	}
}

func TestAServerThatRefusesEndsTheConnection(t *testing.T) {
	l, err := OpenLine("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	expectRefusal(t, l)
}

// BenchmarkRoundTrip shows what a line costs while nothing is broken.
func BenchmarkRoundTrip(b *testing.B) {
	l := openEcho(b)
	for name, address := range map[string]string{"direct": l.to, "line": l.Address()} {
		b.Run(name, func(b *testing.B) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			for b.Loop() {
				roundTrip(b, conn, "sixty bytes, about as many as a position has on its way to us")
			}
		})
	}
}
