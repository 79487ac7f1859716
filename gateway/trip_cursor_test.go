package gateway

import (
	"testing"
	"time"

	"github.com/ridehail/ridehail/trips"
)

// tripAt is a trip requested and reserved at seconds of the clock.
func tripAt(id trips.TripID, state trips.State, requested, reserved int64) trips.Trip {
	return trips.Trip{ID: id, State: state, RequestedAt: time.Unix(requested, 0), ReservedAt: time.Unix(reserved, 0)}
}

func TestACursorKnowsWhichTripComesNext(t *testing.T) {
	const active, over = trips.Arrived, trips.Completed
	for name, c := range map[string]struct {
		role trips.Role
		// Of the trip that is followed, requested at 100 and reserved at 200.
		state trips.State
		trip  trips.Trip
		want  place
	}{
		"the same trip":                     {trips.RoleRider, active, tripAt("now", over, 100, 200), same},
		"the trip before":                   {trips.RoleRider, over, tripAt("last", active, 300, 400), earlier},
		"a later one after the end":         {trips.RoleRider, over, tripAt("other", active, 101, 102), next},
		"a later one, over as well":         {trips.RoleRider, over, tripAt("other", over, 101, 102), next},
		"an earlier one that is over":       {trips.RoleRider, over, tripAt("other", over, 99, 300), earlier},
		"an earlier one that is not over":   {trips.RoleRider, over, tripAt("other", active, 99, 300), unclear},
		"another while ours goes on":        {trips.RoleRider, active, tripAt("other", active, 300, 400), unclear},
		"one that is over, ours goes on":    {trips.RoleRider, active, tripAt("other", over, 50, 60), unclear},
		"a driver's, requested before ours": {trips.RoleDriver, over, tripAt("other", active, 99, 201), next},
		"a driver's, reserved before ours":  {trips.RoleDriver, over, tripAt("other", over, 101, 199), earlier},
	} {
		var cur tripCursor
		cur.followTrip(c.role, tripAt("last", over, 10, 20), 1, 0)
		now := tripAt("now", c.state, 100, 200)
		cur.followTrip(c.role, now, 1, 0)
		cur.learnState(trips.RoleRider, now)
		if got := cur.compareTrip(c.role, c.trip); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Each case starts after event 2 and message 2, of which the second ones came
// from a commit on this node.
func TestACursorTakesEachMessageOnceAndInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		seq  uint32
		from origin
		want outcome
		then uint32 // the last one sent
	}{
		"the next one":                      {3, published, outcomeSent, 3},
		"the next one, committed here":      {3, here, outcomeSent, 3},
		"the next one, from the store":      {3, kept, outcomeRecovered, 3},
		"one too early":                     {4, published, outcomeEarly, 2},
		"one too early, committed here":     {9, here, outcomeEarly, 2},
		"again, committed here":             {2, published, outcomeEcho, 2},
		"again, by the commit":              {2, here, outcomeEcho, 2},
		"again, from the store":             {2, kept, outcomeDuplicate, 2},
		"an old one, before the committed":  {1, published, outcomeEcho, 2},
		"an old one, from the store":        {1, kept, outcomeDuplicate, 2},
		"none that could be":                {0, kept, outcomeDuplicate, 2},
		"the next one, number by number up": {3, published, outcomeSent, 3},
	} {
		for kind, take := range map[string]func(*tripCursor, uint32, origin) outcome{
			"event": (*tripCursor).takeEvent, "message": (*tripCursor).takeChat,
		} {
			var cur tripCursor
			cur.followTrip(trips.RoleRider, tripAt("t", trips.Arrived, 1, 2), 0, 0)
			take(&cur, 1, published)
			take(&cur, 2, here)
			got := take(&cur, c.seq, c.from)
			then, other := cur.seq, cur.chat
			if kind == "message" {
				then, other = other, then
			}
			if got != c.want || then != c.then || other != 0 {
				t.Errorf("%s, %s: %s and then %d, want %s and %d", kind, name, outcomeNames[got], then, outcomeNames[c.want], c.then)
			}
		}
	}
}

func TestWithoutACommitHereARepeatIsADuplicate(t *testing.T) {
	var cur tripCursor
	cur.followTrip(trips.RoleRider, tripAt("t", trips.Arrived, 1, 2), 5, 5)
	if e, m := cur.takeEvent(5, published), cur.takeChat(4, published); e != outcomeDuplicate || m != outcomeDuplicate {
		t.Errorf("event %s, message %s", outcomeNames[e], outcomeNames[m])
	}
}

func TestACursorSeesWhatTheStoreHasAndThePhoneHasNot(t *testing.T) {
	stand := func(change func(*trips.ResumeState)) trips.ResumeState {
		st := trips.ResumeState{Trip: trips.Trip{ID: "t", Version: 3}, LastChatSeq: 2}
		change(&st)
		return st
	}

	for name, c := range map[string]struct {
		st   trips.ResumeState
		want bool
	}{
		"the same":                {stand(func(*trips.ResumeState) {}), false},
		"no trip":                 {trips.ResumeState{}, false},
		"another trip":            {stand(func(st *trips.ResumeState) { st.Trip.ID = "u" }), true},
		"an event":                {stand(func(st *trips.ResumeState) { st.Trip.Version = 4 }), true},
		"an event it saw already": {stand(func(st *trips.ResumeState) { st.Trip.Version = 2 }), false},
		"a message":               {stand(func(st *trips.ResumeState) { st.LastChatSeq = 3 }), true},
		"help on its way":         {stand(func(st *trips.ResumeState) { st.SOSAcked = true }), true},
		"a receipt":               {stand(func(st *trips.ResumeState) { st.Paid = true }), true},
	} {
		var cur tripCursor
		cur.followTrip(trips.RoleRider, trips.Trip{ID: "t"}, 3, 2)
		if got := cur.isBehind(c.st); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if cur.takeReceipt("t"); c.st.Paid && cur.isBehind(c.st) {
			t.Errorf("%s: it waits for a receipt that it has", name)
		}
	}
}

func TestAReceiptIsSentOnceForATrip(t *testing.T) {
	var cur tripCursor
	cur.followTrip(trips.RoleRider, trips.Trip{ID: "t"}, 0, 0)

	for i, c := range []struct {
		trip trips.TripID
		want bool
	}{{"t", true}, {"t", false}, {"before", true}, {"t", false}} {
		if got := cur.takeReceipt(c.trip); got != c.want {
			t.Errorf("receipt %d, of trip %s: %v", i, c.trip, got)
		}
	}
}

func TestAGapOutlivesTheTripAndIsClosedByCatchingUp(t *testing.T) {
	var cur tripCursor
	cur.followTrip(trips.RoleRider, trips.Trip{ID: "t"}, 3, 2)
	cur.markGap()
	cur.followTrip(trips.RoleRider, trips.Trip{ID: "u", Region: "r"}, 0, 0)
	if !cur.gap || cur.last != "t" || cur.region != "r" {
		t.Errorf("the next trip has %+v", cur)
	}
	if at := cur.beginCatchUp(); cur.gap || at.trip != "u" || at.seq != 0 {
		t.Errorf("it catches up from %+v, gap %v", at, cur.gap)
	}
	if cur.markGap(); !cur.gap {
		t.Error("a failure leaves no gap")
	}
}

func TestWhatIsLearnedIsNeverOlder(t *testing.T) {
	var cur tripCursor
	cur.followTrip(trips.RoleRider, trips.Trip{ID: "t"}, 0, 0)

	for _, c := range []struct {
		version uint32
		state   trips.State
		news    bool
	}{{2, trips.Reserved, true}, {4, trips.OnTrip, true}, {3, trips.Arrived, false}, {4, trips.OnTrip, true}} {
		if got := cur.learnState(trips.RoleRider, trips.Trip{ID: "t", Version: c.version, State: c.state}); got != c.news {
			t.Errorf("version %d: %v", c.version, got)
		}
	}

	if cur.known != 4 || cur.state != trips.OnTrip {
		t.Errorf("it stands at %+v", cur)
	}
}
