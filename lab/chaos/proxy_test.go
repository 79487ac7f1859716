package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo answers every byte with itself, behind a proxy.
func echo(t *testing.T) *lineProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				_, _ = io.Copy(conn, conn) // ends when the connection does
				_ = conn.Close()
			})
		}
	})

	way, err := newLineProxy("echo", loopback, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := errors.Join(way.close(), l.Close()); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return way
}

func dial(t *testing.T, l *lineProxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
}

// works checks that a new connection carries both ways.
func works(t *testing.T, l *lineProxy) {
	t.Helper()
	conn := dial(t, l)
	say(t, conn, "hello")
	hear(t, conn, "hello")
}

func TestALineBreaksAsItsFaultSaysAndIsWholeAfterwards(t *testing.T) {
	for _, up := range []bool{true, false} {
		for _, c := range []struct {
			fault Fault
			// hears is how many of ten bytes arrive at most, on a connection
			// from before the fault.
			hears int
		}{
			{Fault{Kind: CutLine, Amount: 4, Up: up}, 4},
			{Fault{Kind: ResetLine, Up: up}, 0},
		} {
			t.Run(c.fault.String(), func(t *testing.T) {
				l := echo(t)
				conn := dial(t, l)
				say(t, conn, "before")
				hear(t, conn, "before")
				if err := l.applyFault(c.fault); err != nil {
					t.Fatal(err)
				}
				say(t, conn, "0123456789")

				got, _ := io.ReadAll(conn) // an end with an error is an end
				if len(got) > c.hears || len(got) < c.hears && !up {
					// The answer to what was cut on its way up may come too
					// late.
					t.Errorf("heard %q", got)
				}

				if err := l.removeFault(); err != nil {
					t.Fatal(err)
				}

				works(t, l)
			})
		}
	}
}

func TestABlackHoleSwallowsWithoutAWordUntilItIsHealed(t *testing.T) {
	for _, up := range []bool{true, false} {
		l := echo(t)
		conn := dial(t, l)
		if err := l.applyFault(Fault{Kind: BlackHoleLine, Up: up}); err != nil {
			t.Fatal(err)
		}

		say(t, conn, "is anybody there?")
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("heard %d bytes, %v", n, err)
		}
		if err := l.removeFault(); err != nil {
			t.Fatal(err)
		}

		works(t, l)
	}
}

func TestASlowLineLosesNothing(t *testing.T) {
	l := echo(t)
	conn := dial(t, l)
	if err := l.applyFault(Fault{Kind: SlowLine, Amount: 20}); err != nil {
		t.Fatal(err)
	}

	say(t, conn, "one two three")
	hear(t, conn, "one two three")
	if err := l.removeFault(); err != nil {
		t.Fatal(err)
	}

	say(t, conn, "four") // on the same connection
	hear(t, conn, "four")
}

func TestAStormCutsEveryConnectionAndTakesNewOnes(t *testing.T) {
	l := echo(t)
	old := []net.Conn{dial(t, l), dial(t, l)}
	for _, conn := range old {
		say(t, conn, "hello")
		hear(t, conn, "hello")
	}

	if err := l.cutConnections(); err != nil {
		t.Fatal(err)
	}

	for _, conn := range old {
		if got, _ := io.ReadAll(conn); len(got) != 0 {
			t.Errorf("heard %q", got)
		}
	}

	works(t, l)
}

func TestAFaultOfAProcessIsNoneOfALine(t *testing.T) {
	if err := echo(t).applyFault(Fault{Kind: KillNode}); err == nil {
		t.Error("a line was killed")
	}
}
