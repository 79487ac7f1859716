package sharedstate

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

func TestADriverOnATripIsListedAtOnceAndTheNewestChangeCounts(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	d.SetTracking(true)
	enterOnDuty(t, d, c, "free", lagoon)
	enterOnDuty(t, d, c, "busy", lagoon)
	d.Assign("busy", "t", OnTrip)

	select {
	case <-d.TripMoved():
	default:
		t.Fatal("no signal of a car on a trip")
	}

	for range 3 {
		c.advance(time.Second)
		d.Move("busy", c.fixAt(lagoon))
	}
	got, overwritten := d.TakeOnTrip(nil)
	if len(got) != 1 || got[0].ID != "busy" || !got[0].Fix.At.Equal(c.now()) || overwritten != 3 {
		t.Fatalf("%+v, %d overwritten", got, overwritten)
	}
	if got, overwritten = d.TakeOnTrip(got[:0]); len(got) != 0 || overwritten != 0 {
		t.Fatalf("twice: %+v", got)
	}

	d.Touch("free", "unknown")
	if got, _ = d.TakeOnTrip(got[:0]); len(got) != 1 || got[0].ID != "free" {
		t.Fatalf("touched: %+v", got)
	}
	if got = d.TakeChanged(got[:0]); len(got) != 2 {
		t.Fatalf("all changes: %+v", got)
	}

	d.Move("busy", c.fixAt(lagoon))
	d.SetTracking(false)
	d.SetTracking(true)
	if got = d.TakeChanged(got[:0]); len(got) != 0 {
		t.Fatalf("of the time before: %+v", got)
	}
	c.advance(time.Second)
	d.Move("busy", c.fixAt(lagoon))
	if got = d.TakeChanged(got[:0]); len(got) != 1 {
		t.Fatalf("after tracking began again: %+v", got)
	}
	checkInvariants(t, d)
}

func TestADriverWhoWentToAnotherNodeIsNotOursToTell(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	d.SetTracking(true)
	enterOnDuty(t, d, c, "d", lagoon)
	c.advance(time.Second)
	d.ApplyReplica(Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true})
	if got := d.TakeChanged(nil); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestADriverWhomAnotherNodeMadeAnOfferIsNotFree(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	m := Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Offered, Connected: true}
	d.ApplyReplica(m)
	if got, _ := d.Get("d"); got.Status != Offered || len(d.Nearest(lagoon, 1, 100, nil)) != 0 || d.Reserve("d", "o") == nil {
		t.Fatalf("%+v", got)
	}
	checkInvariants(t, d)

	m.Status = Available
	d.ApplyReplica(m)
	if got, _ := d.Get("d"); got.Status != Available || len(d.Nearest(lagoon, 1, 100, nil)) != 1 {
		t.Fatalf("%+v", got)
	}

	m.Status = Offered
	d.ApplyReplica(m)
	d.Connect("d", "n1")
	if got, _ := d.Get("d"); got.Status != Available {
		t.Fatalf("the offer was known to the node that the driver has left: %+v", got)
	}
	checkInvariants(t, d)
}

func TestACopyThatIsNotNewerEndsNoTrip(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	m := Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true}
	d.ApplyCopy(m)
	d.Assign("d", "t", Reserved)
	d.ApplyCopy(m)
	if got, _ := d.Get("d"); got.Trip != "t" {
		t.Fatalf("%+v", got)
	}
	c.advance(time.Second)
	m.Fix = c.fixAt(lagoon)
	d.ApplyCopy(m)
	if got, _ := d.Get("d"); got.Trip != "" {
		t.Fatalf("%+v", got)
	}
}

func TestDriversOfOtherNodesAreForgottenSoonAndOursAreNot(t *testing.T) {
	c := newClock()
	d := newDriversAt(c)
	enterOnDuty(t, d, c, "ours", lagoon)
	enterOnDuty(t, d, c, "left", lagoon)
	d.Disconnect("left", "n1")
	theirs := Driver{ID: "idle", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true}
	d.ApplyReplica(theirs)
	theirs.ID = "held"
	d.ApplyReplica(theirs)
	if err := d.Reserve("held", "o"); err != nil {
		t.Fatal(err)
	}
	theirs.ID, theirs.Trip, theirs.Status = "busy", "t", OnTrip
	d.ApplyReplica(theirs)

	c.advance(time.Minute)
	if n := d.RemoveUnheard(c.now(), c.now().Add(-2*time.Minute)); n != 1 {
		t.Fatalf("%d forgotten", n)
	}
	if _, ok := d.Get("idle"); ok {
		t.Fatal("the idle one is not")
	}
	checkInvariants(t, d)

	d.Release("held", "o")
	c.advance(time.Minute)
	if n := d.RemoveUnheard(c.now(), c.now().Add(-2*time.Minute)); n != 2 || len(d.DriversOf("n1", nil)) != 2 {
		t.Fatalf("%d forgotten", n)
	}
	checkInvariants(t, d)
}

// The phone's socket here is open and silent while a wrong replica gives the
// driver to another node.
func TestAForgottenDriverWhosePhoneSpeaksAgainIsBack(t *testing.T) {
	for _, again := range []bool{false, true} {
		c := newClock()
		d := newDriversAt(c)
		handle := d.Connect("d", "n1")
		d.SetAvailable("d", true)
		c.advance(time.Second)
		m := Driver{ID: "d", Node: "n2", Fix: c.fixAt(lagoon), ReceivedAt: c.now(), Status: Available, Connected: true}
		d.ApplyReplica(m)
		c.advance(time.Hour)
		if n := d.RemoveUnheard(c.now(), c.now()); n != 1 {
			t.Fatalf("%d forgotten", n)
		}
		checkInvariants(t, d)
		if again {
			m.Fix, m.ReceivedAt = c.fixAt(lagoon), c.now()
			d.ApplyReplica(m)
			c.advance(time.Second)
		}

		if why, _ := handle.Move(c.fixAt(lagoon), c.now()); why != location.Accepted {
			t.Fatal(why)
		}
		if got, _ := d.Get("d"); got.Node != "n1" || got.Status != Available || len(d.Nearest(lagoon, 1, 100, nil)) != 1 {
			t.Fatalf("%+v", got)
		}
		if n := d.Counts(); n.Drivers != 1 || n.Status[Available] != 1 {
			t.Fatalf("%+v", n)
		}
		checkInvariants(t, d)
	}
}
