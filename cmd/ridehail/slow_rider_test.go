package main

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/wire"
)

// shownPositions records what a phone showed: the numbers of the driver's
// fixes, and the largest number of un-acked positions.
type shownPositions struct {
	mu      sync.Mutex
	seqs    []uint32
	unacked uint32
}

func (s *shownPositions) last() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seqs) == 0 {
		return 0
	}
	return s.seqs[len(s.seqs)-1]
}

// dialRider opens another connection of a rider.
func dialRider(t *testing.T, server, id string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{wire.SubprotocolJSON}}
	conn, _, err := d.Dial("ws"+server[len("http"):]+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	write(t, conn, &wire.ClientFrame{Body: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token(t, server, "rider", id)}}})
	return conn
}

func write(t *testing.T, conn *websocket.Conn, f *wire.ClientFrame) {
	data, err := wire.JSON.Append(nil, f)
	if err == nil {
		err = conn.WriteMessage(websocket.TextMessage, data)
	}
	if err != nil {
		t.Logf("the connection is gone: %v", err)
	}
}

// watch reads until the connection ends, one message every rest, and acks each
// position.
func (s *shownPositions) watch(t *testing.T, conn *websocket.Conn, rest time.Duration) {
	var acked uint32
	for {
		time.Sleep(rest)
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}

		f := new(wire.ServerFrame)
		if err := wire.JSON.Decode(data, f); err != nil {
			t.Errorf("%s: %v", data, err)
			return
		}

		p := f.GetPosition()
		if p == nil {
			continue
		}

		s.mu.Lock()
		s.seqs, s.unacked = append(s.seqs, p.Seq), max(s.unacked, p.N-acked)
		s.mu.Unlock()

		acked = p.N
		write(t, conn, &wire.ClientFrame{Body: &wire.ClientFrame_PositionAck{PositionAck: &wire.PositionAck{N: p.N}}})
	}
}

// TestASlowPhoneAndOneThatStandsStillHoldUpNoOther lets five phones of a rider
// watch one car: three read at once, one reads as over 8 kbit/s, and one does
// not read until the end.
func TestASlowPhoneAndOneThatStandsStillHoldUpNoOther(t *testing.T) {
	address := freeAddress(t)
	p := start(t, "serve", "--dev-tokens", "--listen", address, "--admin", "", "--redis", "", "--speed", "1000", "--database",
		filepath.Join(t.TempDir(), "city.db"))
	server := "http://" + address
	awaitReady(t, p, server)
	city, err := routing.Open("1")
	if err != nil {
		t.Fatal(err)
	}

	spots := city.Hotspots()
	here := &wire.Point{Lng: spots[0].Lng, Lat: spots[0].Lat}
	there := &wire.Point{Lng: spots[1].Lng, Lat: spots[1].Lat}
	driver, rider := dial(t, server, "driver", "d"), dial(t, server, "rider", "r")
	driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_SetAvailable{SetAvailable: &wire.SetAvailable{Available: true}}})
	driver.fix(1, here)
	rider.command(&wire.ClientFrame{Body: &wire.ClientFrame_RequestTrip{RequestTrip: &wire.RequestTrip{Pickup: here, Dropoff: there}}})
	offer := driver.await("offer", func(f *wire.ServerFrame) bool { return f.GetOffer() != nil }).GetOffer()
	driver.command(&wire.ClientFrame{Body: &wire.ClientFrame_AnswerOffer{AnswerOffer: &wire.AnswerOffer{OfferId: offer.Id, Accept: true}}})
	rider.awaitState("reserved")
	rider.conn.Close() // five connections is what a rider may have

	const fixes = 40
	var phones [5]shownPositions
	var watching sync.WaitGroup
	defer watching.Wait()

	var conns [5]*websocket.Conn
	for i := range conns {
		conns[i] = dialRider(t, server, "r")
		defer conns[i].Close()
	}

	for i, rest := range []time.Duration{0, 0, 0, 250 * time.Millisecond} {
		watching.Go(func() { phones[i].watch(t, conns[i], rest) })
	}

	for seq := uint32(2); seq <= fixes; seq++ {
		driver.fix(seq, &wire.Point{Lng: here.Lng + float64(seq)*1e-6, Lat: here.Lat})
		time.Sleep(200 * time.Millisecond) // 5 Hz
	}

	knows := func(i int) {
		t.Helper()
		for late := time.Now().Add(time.Minute); phones[i].last() != fixes; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("phone %d was never shown the newest position, but %d of %d", i, phones[i].last(), fixes)
			}
		}
	}

	for i := range 4 {
		knows(i)
	}
	watching.Go(func() { phones[4].watch(t, conns[4], 0) })
	knows(4)

	for i := range phones {
		s := &phones[i]
		s.mu.Lock()
		if !slices.IsSorted(s.seqs) || s.unacked > 2 {
			t.Errorf("phone %d: %d positions un-acked, shown %v", i, s.unacked, s.seqs)
		}
		if i < 3 && len(s.seqs) < 8 {
			// On an idle machine it is shown nearly all of them.
			t.Errorf("phone %d reads at once and was shown %d of %d positions", i, len(s.seqs), fixes)
		}
		if i == 4 && len(s.seqs) > 4 {
			// These are two old ones, the newest, and the one in a welcome.
			t.Errorf("the phone that stood still was shown %v", s.seqs)
		}
		s.mu.Unlock()
	}
}
