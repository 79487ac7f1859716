package gateway

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/sos"
)

func TestTheOutboundQueueKeepsOrderAndItsBound(t *testing.T) {
	var q outboundQueue
	push := func(n byte) bool { return q.push(outboundFrame{data: []byte{n}}, 3) }
	for n := range byte(3) {
		if !push(n) {
			t.Fatalf("frame %d is refused", n)
		}
	}

	if push(3) {
		t.Error("a frame beyond the bound is taken")
	}
	if f, ok := q.pop(); !ok || f.data[0] != 0 {
		t.Errorf("first came %v, %v", f, ok)
	}
	if !push(4) {
		t.Error("the room that was made is not there")
	}
	if left := q.drain(); len(left) != 3 || left[0].data[0] != 1 || left[2].data[0] != 4 || !q.isEmpty() {
		t.Errorf("drained %v", left)
	}
	if _, ok := q.pop(); ok {
		t.Error("an empty queue gave a frame")
	}
}

func TestTheCommandQueueStartsOneWorkerAndFinishesWhatItTook(t *testing.T) {
	var q commandQueue
	add := func(id string) admission { return q.addCommand(command{id: id}, 2) }

	got := []admission{add("a"), add("b"), add("c")}
	if want := fmt.Sprint([]admission{commandFirst, commandQueued, commandFull}); fmt.Sprint(got) != want {
		t.Errorf("admitted as %v, want %v", got, want)
	}
	if c, ok := q.nextCommand(); !ok || c.id != "a" {
		t.Errorf("first came %v, %v", c, ok)
	}

	q.close()
	if a := add("d"); a != commandClosed || q.isFinished() {
		t.Errorf("while it closes: %d, finished %v", a, q.isFinished())
	}
	if c, ok := q.nextCommand(); !ok || c.id != "b" || q.isFinished() {
		t.Errorf("then came %v, %v", c, ok)
	}
	if _, ok := q.nextCommand(); ok || !q.isFinished() {
		t.Error("it is not finished once all it took is carried out")
	}
}

func TestACommandAfterTheLastOneStartsAWorkerAgain(t *testing.T) {
	var q commandQueue
	for range 2 {
		if a := q.addCommand(command{}, 1); a != commandFirst {
			t.Errorf("admitted as %d", a)
		}
		q.nextCommand()
		if _, ok := q.nextCommand(); ok {
			t.Error("a command came twice")
		}
	}
}

func TestAListOfCarsWaitsUntilTheLastOneIsRead(t *testing.T) {
	var c nearbyCars
	market, airport := &area{metres: 1}, &area{metres: 2}
	if c.dueArea() != nil || c.takeList() != nil || c.markRead() || c.watchArea(market) {
		t.Error("a rider who looked at nothing has cars")
	}
	if kept, over := c.putList(c.dueArea(), []byte("1")); !kept || over {
		t.Errorf("the first list: kept %v, overwrote %v", kept, over)
	}
	if kept, over := c.putList(market, []byte("2")); !kept || !over || string(c.takeList()) != "2" {
		t.Errorf("the second list: kept %v, overwrote %v", kept, over)
	}
	if c.dueArea() != nil || c.takeList() != nil {
		t.Error("another list is due before the last one is read")
	}
	if kept, _ := c.putList(market, []byte("3")); !kept || c.takeList() != nil {
		t.Error("a list made meanwhile does not wait")
	}
	if !c.markRead() || c.markRead() || string(c.takeList()) != "3" || !c.markRead() {
		t.Error("the waiting list is not sent once the last one is read")
	}

	c.putList(market, []byte("4"))
	if !c.watchArea(airport) || c.takeList() != nil {
		t.Error("the list of another area is still sent")
	}
	if kept, _ := c.putList(market, []byte("5")); kept || c.dueArea() != airport {
		t.Error("a list came too late and was kept")
	}
}

func TestAnAcknowledgementIsSentOnceForEachCall(t *testing.T) {
	var calls sosCalls
	a, b := sos.Alert{ID: "a", Trip: "t"}, sos.Alert{ID: "b", Trip: "t"}
	calls.addCall(a)
	calls.addCall(b)
	if got := calls.unackedTrips(); len(got) != 1 || got[0] != "t" {
		t.Errorf("waits on trips %v", got)
	}
	if !calls.markAcked(a) || calls.markAcked(a) {
		t.Error("the acknowledgement is not sent once")
	}
	if calls.addCall(a); calls.markAcked(a) {
		t.Error("the call sent again is acknowledged again")
	}
	if !calls.markAcked(b) || len(calls.unackedTrips()) != 0 {
		t.Errorf("waits on trips %v", calls.unackedTrips())
	}
	if !calls.markAcked(sos.Alert{ID: "made on another connection"}) {
		t.Error("an acknowledgement of an unknown call is not sent")
	}

	for i := range 3 * maxSOSCalls {
		calls.addCall(sos.Alert{ID: fmt.Sprint(i)})
	}
	if len(calls) > maxSOSCalls {
		t.Errorf("%d calls are remembered", len(calls))
	}
}

func TestWhatIsHeldIsReleasedInOrder(t *testing.T) {
	var h heldDeliveries
	said := ""
	for _, word := range []string{"a", "b"} {
		if !h.holdDelivery(func() { said += word }) {
			t.Fatal("not held")
		}
	}

	for _, f := range h.takeHeld() {
		f()
	}
	if said != "ab" || h.released {
		t.Errorf("said %q, released %v", said, h.released)
	}
	if !h.holdDelivery(func() {}) || len(h.takeHeld()) != 1 {
		t.Error("what comes while the held is delivered is not held behind it")
	}
	if len(h.takeHeld()) != 0 || h.holdDelivery(func() {}) {
		t.Error("it holds on after all was delivered")
	}
}
