package line_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/lab/line"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen answers each connection with serve, behind a line.
func listen(t *testing.T, spec line.Spec, serve func(net.Conn)) *line.Line {
	t.Helper()
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := far.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})

	l, err := line.Open(far.Addr().String(), spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		_ = far.Close()
		served.Wait()
	})
	return l
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

func dial(t *testing.T, l *line.Line) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// roundTrip sends text and awaits it.
func roundTrip(t *testing.T, conn net.Conn, text string) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}

	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
	return time.Since(began)
}

func TestARoundTripTakesTwiceTheDelayAndNotMuchMore(t *testing.T) {
	for _, each := range []time.Duration{0, 500 * time.Microsecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		conn := dial(t, listen(t, line.Spec{Delay: each}, echo))
		least := time.Hour
		for range 10 {
			least = min(least, roundTrip(t, conn, "hello"))
		}

		if least < 2*each || least > 2*each+10*time.Millisecond {
			t.Errorf("%v each way: a round trip took %v at least", each, least)
		}
	}
}

func TestManyConnectionsShareALineAndEachByteComesInOrder(t *testing.T) {
	l := listen(t, line.Spec{Delay: 2 * time.Millisecond, Loss: 0.2}, echo)
	const conns, size = 100, 20_000

	var talking sync.WaitGroup
	for i := range conns {
		conn := dial(t, l)
		talking.Go(func() {
			said := make([]byte, size)
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			for j := range said {
				said[j] = byte(rng.Uint32())
			}
			go func() {
				_, _ = conn.Write(said)
				_ = conn.CloseWrite()
			}()

			heard, err := io.ReadAll(conn) // an end goes over the line as bytes do
			if err != nil || !bytes.Equal(heard, said) {
				t.Errorf("heard %d bytes, %v", len(heard), err)
			}
		})
	}
	talking.Wait()

	s := l.Stats()
	if s.Connections != conns || s.Up.Bytes != conns*size || s.Down.Bytes != conns*size {
		t.Errorf("%+v", s)
	}
	if least := int64(conns * size / 1448); s.Up.Chunks < least || s.Down.Chunks < least || s.Up.Lost+s.Down.Lost == 0 {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsLostComesLaterAndHoldsUpWhatFollows(t *testing.T) {
	l := listen(t, line.Spec{Loss: 10}, echo)
	conn := dial(t, l)

	took := map[int64][]time.Duration{} // by how often the word was lost
	var lost int64
	for range 12 {
		d := roundTrip(t, conn, "hello")
		s := l.Stats()
		times := s.Up.Lost + s.Down.Lost - lost
		took[times] = append(took[times], d)
		lost += times
	}

	if lost == 0 || len(took[0]) == 0 {
		t.Fatalf("%d lost, by how often: %v", lost, took)
	}
	for times, d := range took {
		if slices.Min(d) < time.Duration(times)*200*time.Millisecond {
			t.Errorf("lost %d times: took %v", times, d)
		}
	}
	if d := slices.Min(took[0]); d > 100*time.Millisecond {
		t.Errorf("nothing was lost and it took %v", d)
	}
}

func TestTheSeedFixesWhatIsLost(t *testing.T) {
	var first line.Stats
	for i := range 2 {
		l := listen(t, line.Spec{Loss: 3}, echo)
		conn := dial(t, l)
		for range 20 {
			roundTrip(t, conn, "hello")
		}

		if i == 0 {
			first = l.Stats()
		} else if l.Stats() != first {
			t.Errorf("%+v, then %+v", first, l.Stats())
		}
	}
}

func TestARefusedConnectionEndsAtOnce(t *testing.T) {
	l, err := line.Open("127.0.0.1:1", line.Spec{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	conn, err := net.Dial("tcp", l.Address())
	if err == nil { // else the end was faster still
		defer conn.Close()
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}
	if s := l.Stats(); s.Connections != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAResetOfOneEndResetsTheOther(t *testing.T) {
	ended := make(chan error, 1)
	l := listen(t, line.Spec{Delay: time.Millisecond}, func(conn net.Conn) {
		_, err := io.Copy(conn, conn)
		ended <- err
	})
	conn := dial(t, l)
	roundTrip(t, conn, "hello")
	_ = conn.SetLinger(0)
	_ = conn.Close()
	if err := <-ended; err == nil {
		t.Error("the far end saw a proper end")
	}
}

func TestCloseDoesNotWaitForWhatIsUnderWay(t *testing.T) {
	got := make(chan struct{}, 1)
	l := listen(t, line.Spec{Delay: line.MaxDelay, Loss: line.MaxLoss}, func(conn net.Conn) {
		_, _ = io.ReadAll(conn)
		got <- struct{}{}
	})
	conn := dial(t, l)
	if _, err := conn.Write([]byte("a long way")); err != nil {
		t.Fatal(err)
	}
	for l.Stats().Up.Chunks == 0 {
		time.Sleep(time.Millisecond)
	}

	began := time.Now()
	l.Close()
	if took := time.Since(began); took > line.MaxDelay/2 {
		t.Errorf("took %v", took)
	}
	<-got
}

func TestASpecIsDelayAndLossOfEachWay(t *testing.T) {
	s, err := line.Parse("40ms,2%")
	if err != nil || s != (line.Spec{Delay: 40 * time.Millisecond, Loss: 2}) {
		t.Fatalf("%+v, %v", s, err)
	}
	if s.String() != "40ms,2%" || s.RoundTrip() != 80*time.Millisecond || line.OfRoundTrip(s.RoundTrip()).Delay != s.Delay {
		t.Errorf("%v, round trip %v", s, s.RoundTrip())
	}
	if want := "40ms and 2 % loss each way; a round trip takes 80ms"; s.Describe() != want {
		t.Errorf("%q, want %q", s.Describe(), want)
	}

	for _, text := range []string{"0s,0%", "1.5ms, 0.5%", "2s,20%"} {
		if _, err := line.Parse(text); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{"", "40ms", "40,2%", "40ms,2", "2%,40ms", "-1ms,2%", "3s,2%", "40ms,21%", "40ms,-1%", "40ms,NaN%", "40ms,2%,"} {
		_, err := line.Parse(text)
		if !errors.Is(err, line.ErrSpec) || !strings.Contains(err.Error(), "such as 40ms,2%") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheWaitForARepeatDoublesAndHasAnEnd(t *testing.T) {
	for losses, want := range []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond} {
		n := 0
		got, times := line.RetransmitDelay(0, func() bool { n++; return n <= losses })
		if got != want || times != losses {
			t.Errorf("lost %d times: %v, %d; want %v", losses, got, times, want)
		}
	}

	if got, _ := line.RetransmitDelay(0, func() bool { return true }); got != 12600*time.Millisecond {
		t.Errorf("always lost: %v", got)
	}
	n := 0
	if got, _ := line.RetransmitDelay(80*time.Millisecond, func() bool { n++; return n == 1 }); got != 280*time.Millisecond {
		t.Errorf("lost once on a long line: %v", got)
	}
}
