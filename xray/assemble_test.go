package xray

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
)

// story is a ride as nodes would record it, told in microseconds since the
// request.
type story struct {
	trip trips.Trip
	hops []tracing.Recorded
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(us int) time.Time { return noon.Add(time.Duration(us) * time.Microsecond) }

func newStory(state trips.State) *story {
	s := &story{trip: trips.Trip{ID: "01890a5d-ac96-774b-bcce-b302099a8057", State: state, RequestedAt: at(0),
		Pickup: location.Point{Lng: 13.4, Lat: 52.5}, Dropoff: location.Point{Lng: 13.45, Lat: 52.52}}}
	return s
}

// add adds a hop from one time to another, in microseconds.
func (s *story) add(node string, k *tracing.Kind, p tracing.Phase, nth, from, to int, more ...func(*tracing.Recorded)) {
	r := tracing.Recorded{Span: fmt.Sprint(len(s.hops)), Name: k.Name, Phase: p, Nth: nth, From: k.From, To: k.To, Node: node,
		Began: at(from).UnixNano(), Ended: at(to).UnixNano()}
	for _, f := range more {
		f(&r)
	}
	s.hops = append(s.hops, r)
}

func key(k string) func(*tracing.Recorded)   { return func(r *tracing.Recorded) { r.Key = k } }
func cause(c string) func(*tracing.Recorded) { return func(r *tracing.Recorded) { r.Cause = c } }
func from(p tracing.Part) func(*tracing.Recorded) {
	return func(r *tracing.Recorded) { r.From = p }
}
func to(p tracing.Part) func(*tracing.Recorded) { return func(r *tracing.Recorded) { r.To = p } }

// addCommand adds a command from its reading to the event on both phones; the
// rider's phone is on node r, the driver's on node d.
func (s *story) addCommand(p tracing.Phase, seq uint32, phone tracing.Part, by, other string, begin int) {
	m := tracing.EventID(seq)
	s.add(by, tracing.FrameRead, p, 0, begin, begin+100, from(phone), key("command:"+m))
	s.add(by, tracing.CommandWait, p, 0, begin+100, begin+110, cause("command:"+m))
	s.add(by, tracing.CommitWait, p, 0, begin+110, begin+400)
	s.add(by, tracing.Statement, p, 0, begin+400, begin+2000, key("commit:"+m))
	s.add(by, tracing.AckWritten, p, 0, begin+2010, begin+2030, to(phone), cause("commit:"+m))
	s.add(by, tracing.EventWritten, p, 0, begin+2030, begin+2040, to(phone), cause("commit:"+m))
	s.add(by, tracing.OutboxWait, p, 0, begin+2000, begin+2500, cause("commit:"+m))
	s.add(by, tracing.Publish, p, 0, begin+2500, begin+2800, key("publish:"+m), cause("commit:"+m))
	if p == tracing.Request {
		s.add(by, tracing.Heard, p, 0, begin+3000, begin+3000, cause("publish:"+m))
		return
	}
	reader := tracing.RiderPhone
	if phone == tracing.RiderPhone {
		reader = tracing.DriverPhone
	}
	s.add(other, tracing.Heard, p, 0, begin+3000, begin+3000, cause("publish:"+m))
	s.add(other, tracing.EventWritten, p, 0, begin+3010, begin+3050, to(reader), cause("publish:"+m))
}

func (s *story) addOffer(nth int, id string, begin, thought int) {
	s.add("r", tracing.OfferSent, tracing.Offer, nth, begin, begin+200, key("offer:"+id))
	s.add("d", tracing.OfferHeard, tracing.Offer, nth, begin+300, begin+300, cause("offer:"+id))
	s.add("d", tracing.OfferWritten, tracing.Offer, nth, begin+300, begin+350, cause("offer:"+id))
	s.add("d", tracing.OfferThought, tracing.Offer, nth, begin+350, begin+350+thought)
	s.add("r", tracing.OfferEnded, tracing.Offer, nth, begin+400+thought, begin+420+thought, func(r *tracing.Recorded) { r.Reason = "accepted" })
}

func (s *story) addPosition(nth, begin int, written bool) {
	c := fmt.Sprintf("fix:%d", nth)
	s.add("d", tracing.FixSent, tracing.Position, nth, begin, begin+1000, key(c))
	s.add("d", tracing.FixMoved, tracing.Position, nth, begin+1000, begin+1002, cause(c))
	s.add("d", tracing.CarPublished, tracing.Position, nth, begin+1002, begin+1300, key("car:"+c), cause(c))
	s.add("r", tracing.CarHeard, tracing.Position, nth, begin+1400, begin+1400, cause("car:"+c))
	if written {
		s.add("r", tracing.PositionWritten, tracing.Position, nth, begin+1400, begin+1420, cause(c))
		s.add("r", tracing.PositionAcked, tracing.Position, nth, begin+1420, begin+2000)
	}
}

const second = 1_000_000

// newWholeRide is a ride over two nodes from the quote to the receipt.
func newWholeRide() *story {
	s := newStory(trips.Completed)
	s.trip.ReservedAt, s.trip.ArrivedAt, s.trip.StartedAt, s.trip.EndedAt = at(4*second), at(14*second), at(20*second), at(40*second)
	s.add("r", tracing.QuoteRead, tracing.Quote, 0, -3*second, -3*second+500)
	s.add("r", tracing.RouteCall, tracing.Quote, 0, -3*second+500, -3*second+900)
	s.add("r", tracing.SurgeRead, tracing.Quote, 0, -3*second+900, -3*second+910)
	s.add("r", tracing.QuoteWritten, tracing.Quote, 0, -3*second+910, -3*second+950)
	s.addCommand(tracing.Request, 1, tracing.RiderPhone, "r", "", 0)
	s.add("r", tracing.WindowWait, tracing.Match, 0, 4000, 400_000)
	s.add("r", tracing.CandidateSearch, tracing.Match, 0, 400_000, 400_100)
	s.add("r", tracing.MatrixCall, tracing.Match, 0, 400_100, 401_000)
	s.add("r", tracing.Assignment, tracing.Match, 0, 401_000, 401_050)
	s.add("r", tracing.Reserve, tracing.Match, 0, 401_050, 401_051)
	s.addOffer(1, "o1", 401_100, 3*second)
	s.addCommand(tracing.Accept, 2, tracing.DriverPhone, "d", "r", 4*second)
	for n := range 5 {
		s.addPosition(n+1, 5*second+n*second, n != 2)
	}
	s.addCommand(tracing.Arrive, 3, tracing.DriverPhone, "d", "r", 14*second)
	s.addCommand(tracing.Start, 4, tracing.DriverPhone, "d", "r", 20*second)
	s.addCommand(tracing.Complete, 5, tracing.DriverPhone, "d", "r", 40*second)
	s.add("d", tracing.JobAdded, tracing.Charge, 0, 40*second+2500, 40*second+2800, key("job"))
	s.add("r", tracing.JobWait, tracing.Charge, 0, 40*second+5000, 40*second+5000, cause("job"))
	s.add("r", tracing.ProviderCall, tracing.Charge, 0, 40*second+5000, 40*second+25000)
	s.add("r", tracing.ChargeRecorded, tracing.Charge, 0, 40*second+25000, 40*second+27000, key("commit:receipt"))
	s.add("d", tracing.OutboxWait, tracing.Receipt, 0, 40*second+27000, 40*second+27500)
	s.add("d", tracing.Publish, tracing.Receipt, 0, 40*second+27500, 40*second+27800, key("publish:receipt"))
	s.add("r", tracing.Heard, tracing.Receipt, 0, 40*second+28000, 40*second+28000, cause("publish:receipt"))
	s.add("r", tracing.EventWritten, tracing.Receipt, 0, 40*second+28000, 40*second+28100, to(tracing.RiderPhone), cause("publish:receipt"))
	return s
}

var twoNodes = []Node{{Name: "d", Doubt: 300_000}, {Name: "r"}}

func (s *story) assemble(t testing.TB) Ride {
	t.Helper()
	r := Assemble(s.trip, s.hops, twoNodes)
	checkSums(t, r)
	return r
}

// checkSums fails unless all times add up.
func checkSums(t interface {
	Helper()
	Errorf(string, ...any)
}, r Ride) {
	t.Helper()
	if got := r.Waited.Total(); got != r.Duration {
		t.Errorf("the waits %+v are %d ns together, the ride %d", r.Waited, got, r.Duration)
	}
	for _, p := range r.Phases {
		sum := p.Unknown
		for _, h := range p.Hops {
			sum += h.Own
			if h.Own < 0 || h.Own > h.Duration || h.Began < 0 || h.Began+h.Duration > p.Duration {
				t.Errorf("%s %d: %s from %d for %d, of its own %d, in a phase of %d", p.Name, p.Nth, h.Name, h.Began, h.Duration, h.Own, p.Duration)
			}
		}
		if sum != p.Duration || p.Unknown < 0 || p.Gap < 0 {
			t.Errorf("%s %d: hops and unknown are %d ns, the phase %d", p.Name, p.Nth, sum, p.Duration)
		}
	}
}

// unseen returns what was expected and not seen, with its code.
func (r Ride) unseen() (list []string) {
	for _, p := range r.Phases {
		for _, h := range p.Hops {
			if !h.Seen {
				list = append(list, fmt.Sprintf("%s %d %s %s", p.Name, p.Nth, h.Name, h.Code))
			}
		}
	}
	return list
}

func (r Ride) phase(t *testing.T, name tracing.Phase, nth int) Phase {
	t.Helper()
	for _, p := range r.Phases {
		if p.Name == name && p.Nth == nth {
			return p
		}
	}
	t.Fatalf("there is no phase %s %d", name, nth)
	return Phase{}
}

func (p Phase) hop(t *testing.T, name string) Hop {
	t.Helper()
	for _, h := range p.Hops {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("%s has no hop %s", p.Name, name)
	return Hop{}
}

func TestAWholeRideIsTold(t *testing.T) {
	r := newWholeRide().assemble(t)
	var told []string
	for _, p := range r.Phases {
		told = append(told, fmt.Sprintf("%s %d", p.Name, p.Nth))
	}
	if got, want := strings.Join(told, ", "), "quote 0, request 0, match 0, offer 1, accept 0, position 1, position 2, position 3, position 4, position 5, "+
		"arrive 0, start 0, complete 0, charge 0, receipt 0"; got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	if got := fmt.Sprint(r.unseen()); got != "[position 3 position_written overwritten]" || !r.Complete {
		t.Errorf("not seen: %s, complete %v", got, r.Complete)
	}
	if h := r.phase(t, tracing.Position, 3).hop(t, "position_written"); !strings.Contains(h.Reason, "position 4 was written 1s later") {
		t.Errorf("what mended it: %q", h.Reason)
	}

	for _, want := range []struct {
		after tracing.Phase
		what  string
		wait  tracing.Wait
	}{{tracing.Quote, "rider read the price", tracing.People}, {tracing.Accept, "driver drove to the pickup", tracing.People},
		{tracing.Arrive, "rider walked to the car and boarded", tracing.People}, {tracing.Start, "driver drove to the destination", tracing.People}} {
		if p := r.phase(t, want.after, 0); p.GapWhat != want.what || p.GapWait != want.wait || p.Gap == 0 {
			t.Errorf("after %s: %q (%s) for %d", want.after, p.GapWhat, want.wait, p.Gap)
		}
	}
	if r.Waited.People < 38*second*1000 || r.Waited.Disk == 0 || r.Waited.Queue == 0 || r.Waited.Network == 0 || r.Waited.Code == 0 {
		t.Errorf("waited %+v of %d", r.Waited, r.Duration)
	}
	if r.From != "52.5000, 13.4000" || r.Nodes[0].Hops == 0 || r.Nodes[1].Hops == 0 {
		t.Errorf("from %s, nodes %+v", r.From, r.Nodes)
	}
}

func TestEachSendComesBeforeItsReceiptWithinTheDoubt(t *testing.T) {
	s := newWholeRide()
	for i := range s.hops {
		if s.hops[i].Node == "d" { // its clock is 250 µs fast
			s.hops[i].Began += 250_000
			s.hops[i].Ended += 250_000
		}
	}
	r := s.assemble(t)
	accept := r.phase(t, tracing.Accept, 0)
	publish, heard := -1, -1
	for i, h := range accept.Hops {
		switch h.Name {
		case "publish":
			publish = i
		case "heard":
			heard = i
		}
	}
	h := accept.Hops[heard]
	if publish > heard || h.Duration != 0 || h.Doubt != 300_000 {
		t.Errorf("published as number %d, heard as number %d for %d ns within %d", publish, heard, h.Duration, h.Doubt)
	}
	if r.ClockDoubt != 300_000 {
		t.Errorf("doubt %d", r.ClockDoubt)
	}
}

func TestAConsumerBeginsWhereItsCauseEnded(t *testing.T) {
	r := newWholeRide().assemble(t)
	if h := r.phase(t, tracing.Accept, 0).hop(t, "heard"); h.Duration != 200_000 || h.Own == 0 {
		t.Errorf("heard takes %d ns, %d of its own", h.Duration, h.Own)
	}
	if h := r.phase(t, tracing.Charge, 0).hop(t, "job_wait"); h.Duration != 2_200_000 || h.Wait != tracing.Queued {
		t.Errorf("the job waited %d ns for %s", h.Duration, h.Wait)
	}
}

// without removes the hops that a test names.
func (s *story) without(is func(tracing.Recorded) bool) { s.hops = slices.DeleteFunc(s.hops, is) }

func TestWhatIsNotSeenIsSaid(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*story)
		complete   bool
	}{
		{"nothing", "", func(*story) {}, true},
		{"a lost publishing", "accept 0 publish not_seen, accept 0 heard not_seen, accept 0 event_written not_seen", func(s *story) {
			s.without(func(h tracing.Recorded) bool {
				return h.Phase == tracing.Accept && (h.Name == "publish" || h.Node == "r")
			})
		}, false},
		{"Redis cut, and the phone resumed", "accept 0 publish not_seen, accept 0 heard resumed, accept 0 event_written resumed", func(s *story) {
			s.without(func(h tracing.Recorded) bool {
				return h.Phase == tracing.Accept && (h.Name == "publish" || h.Node == "r")
			})
			s.add("r", tracing.StateRead, tracing.Resume, 1, 5*second, 5*second+2000)
			s.add("r", tracing.WelcomeWritten, tracing.Resume, 1, 5*second+2000, 5*second+2100, to(tracing.RiderPhone))
		}, false},
		{"a node that read the database", "accept 0 heard read_back", func(s *story) {
			s.without(func(h tracing.Recorded) bool { return h.Phase == tracing.Accept && h.Name == "heard" })
		}, true},
		{"a rider who left", "complete 0 event_written away, receipt 0 event_written away", func(s *story) {
			s.add("r", tracing.ConnectionLost, tracing.Resume, 1, 30*second, 60*second, from(tracing.RiderPhone))
			s.without(func(h tracing.Recorded) bool { return h.Began > at(30*second).UnixNano() && h.To == tracing.RiderPhone })
		}, true},
		{"a phase of a dead node", "arrive 0 frame_read not_seen, arrive 0 command_wait not_seen, arrive 0 statement not_seen, arrive 0 ack_written not_seen, " +
			"arrive 0 outbox_wait not_seen, arrive 0 publish not_seen, arrive 0 heard not_seen, arrive 0 heard not_seen, " +
			"arrive 0 event_written not_seen, arrive 0 event_written not_seen", func(s *story) {
			s.without(func(h tracing.Recorded) bool { return h.Phase == tracing.Arrive })
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newWholeRide()
			s.without(func(h tracing.Recorded) bool { return h.Phase == tracing.Position })
			c.change(s)
			r := s.assemble(t)
			if got := strings.Join(r.unseen(), ", "); got != c.want || r.Complete != c.complete {
				t.Errorf("not seen: %s\nwant      %s\ncomplete %v", got, c.want, r.Complete)
			}
		})
	}
}

func TestAMissingNodeIsNamed(t *testing.T) {
	s := newWholeRide()
	s.without(func(h tracing.Recorded) bool { return h.Node == "d" })
	r := Assemble(s.trip, s.hops, []Node{{Name: "d", Missing: true}, {Name: "r"}})
	checkSums(t, r)
	if r.Complete || !r.Nodes[0].Missing {
		t.Errorf("complete %v, nodes %+v", r.Complete, r.Nodes)
	}
	h := r.phase(t, tracing.Accept, 0).hop(t, "statement")
	if h.Seen || h.Code != CodeNodeMissing || !strings.Contains(h.Reason, "known to d, which did not answer") {
		t.Errorf("the statement: %+v", h)
	}
}

func TestASecondArrivalIsARepetition(t *testing.T) {
	s := newWholeRide()
	s.add("r", tracing.Heard, tracing.Accept, 0, 4*second+9000, 4*second+9000, cause("publish:event:2"))
	s.add("r", tracing.EventWritten, tracing.Accept, 0, 4*second+9000, 4*second+9010, to(tracing.RiderPhone), cause("commit:event:2"))
	s.add("r", tracing.ProviderCall, tracing.Charge, 0, 40*second+26000, 40*second+26500)
	var repeated []string
	for _, p := range s.assemble(t).Phases {
		for _, h := range p.Hops {
			if h.Repeated {
				repeated = append(repeated, fmt.Sprint(p.Name, " ", h.Name, " ", h.Began/1000))
			}
		}
	}
	if got := fmt.Sprint(repeated); got != "[accept event_written 9000 accept heard 2800]" && got != "[accept heard 2800 accept event_written 9000]" {
		t.Errorf("repeated: %s", got)
	}
}

func TestAPositionWithoutItsBeginningIsLeftOut(t *testing.T) {
	s := newWholeRide()
	s.add("r", tracing.CarHeard, tracing.Position, 99, 6*second, 6*second+10)
	for _, p := range s.assemble(t).Phases {
		if p.Nth == 99 {
			t.Errorf("%+v", p)
		}
	}
}

func TestARideThatGoesOnWaitsForTheDriver(t *testing.T) {
	s := newWholeRide()
	s.trip.State, s.trip.ArrivedAt, s.trip.StartedAt, s.trip.EndedAt = trips.Reserved, time.Time{}, time.Time{}, time.Time{}
	s.without(func(h tracing.Recorded) bool { return h.Began >= at(10*second).UnixNano() })
	r := s.assemble(t)
	if p := r.phase(t, tracing.Accept, 0); p.GapWhat != "driver drove to the pickup" || p.Gap < 4*second*1000 {
		t.Errorf("after accepting: %q for %d", p.GapWhat, p.Gap)
	}
}

func TestTimesAreWrittenInMicroseconds(t *testing.T) {
	for ns, want := range map[Micros]string{0: "0", 1: "0.001", 1500: "1.5", -2: "-0.002", 41_200_000_000: "41200000", 123_456_789: "123456.789"} {
		text, err := json.Marshal(ns)
		var back Micros
		if err != nil || string(text) != want || json.Unmarshal(text, &back) != nil || back != ns {
			t.Errorf("%d ns is %s, and back %d (%v)", ns, text, back, err)
		}
	}
}

// drawHops draws hops that no honest nodes would record.
func drawHops(t *rapid.T) (hops []tracing.Recorded) {
	kinds := []string{"a hop of a later build", "ride"}
	for _, k := range []*tracing.Kind{tracing.FrameRead, tracing.Statement, tracing.Publish, tracing.Heard, tracing.EventWritten, tracing.WindowWait, tracing.Reserve,
		tracing.OfferSent, tracing.OfferHeard, tracing.OfferWritten, tracing.OfferEnded, tracing.FixSent, tracing.FixMoved, tracing.PositionWritten,
		tracing.JobAdded, tracing.JobWait, tracing.ConnectionLost, tracing.WelcomeWritten, tracing.TakenOver} {
		kinds = append(kinds, k.Name)
	}
	phases := append([]tracing.Phase{"", "later"}, rank...)
	parts := []tracing.Part{"", tracing.RiderPhone, tracing.DriverPhone, tracing.Gateway}
	moment := rapid.OneOf(rapid.Int64Range(0, 50), rapid.Int64())
	for range rapid.IntRange(0, 40).Draw(t, "hops") {
		hops = append(hops, tracing.Recorded{
			Name: rapid.SampledFrom(kinds).Draw(t, "name"), Phase: rapid.SampledFrom(phases).Draw(t, "phase"), Nth: rapid.IntRange(-1, 3).Draw(t, "nth"),
			Node: rapid.SampledFrom([]string{"", "r", "d", "x"}).Draw(t, "node"), Began: moment.Draw(t, "began"), Ended: moment.Draw(t, "ended"),
			From: rapid.SampledFrom(parts).Draw(t, "from"), To: rapid.SampledFrom(parts).Draw(t, "to"),
			Key: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"), Cause: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "cause"),
			Failed: rapid.Bool().Draw(t, "failed"), Batch: rapid.IntRange(0, 3).Draw(t, "batch")})
	}
	return hops
}

func TestTheTimesOfAnyHopsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trip := newStory(rapid.SampledFrom([]trips.State{"", trips.Requested, trips.Reserved, trips.OnTrip, trips.Completed, trips.Cancelled}).Draw(t, "state")).trip
		if rapid.Bool().Draw(t, "reserved") {
			trip.ReservedAt = at(5)
		}
		hops := drawHops(t)
		r := Assemble(trip, hops, twoNodes)
		checkSums(t, r)

		seen, want := 0, 0
		for _, p := range r.Phases {
			for _, h := range p.Hops {
				if h.Seen {
					seen++
				}
			}
		}
		for _, h := range hops {
			isFix := slices.ContainsFunc(hops, func(f tracing.Recorded) bool { return f.Name == "fix_sent" && f.Nth == h.Nth })
			if h.Name != "ride" && (h.Phase != tracing.Position || isFix) {
				want++
			}
		}
		if seen != want {
			t.Errorf("%d hops are told of %d", seen, want)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLastPositionMayBeLost(t *testing.T) {
	s := newWholeRide()
	s.without(func(h tracing.Recorded) bool { return h.Nth == 5 && h.Node == "r" && h.Phase == tracing.Position })
	r := s.assemble(t)
	if h := r.phase(t, tracing.Position, 5).hop(t, "position_written"); h.Code != CodeOverwritten || !strings.Contains(h.Reason, "next event") || !r.Complete {
		t.Errorf("%s: %q, complete %v", h.Code, h.Reason, r.Complete)
	}
}

func TestWhatOnlyAFaultLeadsToIsNotExpected(t *testing.T) {
	s := newWholeRide()
	s.add("d", tracing.ReadBack, tracing.Accept, 0, 4*second+100, 4*second+200)
	s.add("r", tracing.LookAround, tracing.Match, 0, 400_000, 400_050)
	r := s.assemble(t)
	if r.phase(t, tracing.Accept, 0).hop(t, "read_back").Expected || !r.phase(t, tracing.Match, 0).hop(t, "look_around").Expected {
		t.Error("reading back is expected, or looking around is not")
	}
}

func TestTheMedianOfRides(t *testing.T) {
	var rides []Ride
	for n := range 3 {
		s := newWholeRide()
		for i := range s.hops {
			if s.hops[i].Name == "reserve" {
				s.hops[i].Ended += int64(n) * 1000
			}
		}
		rides = append(rides, s.assemble(t))
	}
	m := MedianOf(rides)
	if m.Trips != 3 || m.Phases[0].Name != tracing.Quote {
		t.Errorf("%d rides, first %s", m.Trips, m.Phases[0].Name)
	}
	for _, p := range m.Phases {
		for _, h := range p.Hops {
			if h.Name == "reserve" && (h.Duration != 2000 || fmt.Sprint(h.Samples) != "[1000 2000 3000]") {
				t.Errorf("reserve: %+v", h)
			}
			if h.Name == "offer_thought" && h.Duration != 3*second*1000 {
				t.Errorf("the driver thought: %+v", h)
			}
		}
	}
	if m := MedianOf(nil); m.Trips != 0 || m.Phases == nil {
		t.Errorf("of no rides: %+v", m)
	}
}
