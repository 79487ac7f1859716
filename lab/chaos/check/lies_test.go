package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/chaos/check"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/simulators/journal"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

// line returns the n-th matching record of an actor's journal, from 1.
func (c *town) line(who trips.Actor, n int, match func(journal.Record) bool) *journal.Record {
	for i := range c.journal {
		if r := &c.journal[i]; r.Who == who.String() && match(*r) {
			if n--; n == 0 {
				return r
			}
		}
	}

	panic("no such line")
}

func what(w string) func(journal.Record) bool {
	return func(r journal.Record) bool { return r.What == w }
}

func answerTo(command string) func(journal.Record) bool {
	return func(r journal.Record) bool { return r.Command == command && r.What != journal.Invoke }
}

// removeLine removes a line.
func (c *town) removeLine(who trips.Actor, n int, match func(journal.Record) bool) {
	line := *c.line(who, n, match)
	c.journal = slices.DeleteFunc(c.journal, func(r journal.Record) bool { return r == line })
}

// insert adds a line after another one of the same phone.
func (c *town) insert(behind *journal.Record, r journal.Record) {
	i := slices.Index(c.journal, *behind)
	r.Who, r.Phone, r.AtMs = behind.Who, behind.Phone, behind.AtMs
	c.journal = slices.Insert(c.journal, i+1, r)
}

const (
	acked    = "each command acked as done was done, and once"
	refused  = "no refused command has an effect"
	open     = "each command without an answer was done once or not at all"
	balanced = "what is done in a person's name is what they asked for"
	told     = "trip events told to phones are those of the log"
	order    = "each phone's trip events come in order, without a silent gap"
	tail     = "phones connected to the end know how their trip and chat ended"
	own      = "phones are told of their own trips only"
	talk     = "each phone's chat is the database's, in order and complete"
	turns    = "a message sent after another's ack has a higher number"
	receipts = "each receipt is the trip's charge"
	back     = "positions never go back"
	clean    = "no phone got a frame that breaks the protocol"
	once     = "no chat message is kept twice"
	fare     = "the provider took each completed trip's quoted fare once"
	nothing  = "the provider took nothing else"
	same     = "each charge is a payment in the provider's ledger"
	sums     = "ledger, charges and quoted fares have the same sum"
	seen     = "a phone hears that an operator saw a call only if it is its own and one did"
	again    = "a connection tells once that an operator saw a call"
	unaware  = "who called for help and was there in the end knows that an operator saw it"
	acks     = "calls for help are acknowledged by operators, and stay so"
	given    = "each refund that was done is in the provider's ledger once, and one that failed is not"
	ended    = "each refund comes to an end"
	returned = "the provider gave back only what it took and was asked for"
	linear   = "each driver's accepts, completions and reads are linearizable"
	atomic   = "a driver has one active trip at most, at every moment"
)

// lies each change one record. They name the invariants that must be violated,
// though others may be as well, and a part of the row.
var lies = map[string]struct {
	tell   func(c *town)
	breaks []string
	names  string
}{
	"an acked move is not in the log": {func(c *town) { c.events = c.events[:len(c.events)-1] }, []string{acked, told},
		"rider:bola: the command b2 to cancel trip trip-2 was acked as event 3"},
	"an acked move is someone else's": {func(c *town) { c.line(ada, 1, answerTo("a1")).Trip = "trip-2" }, []string{acked},
		"rider:ada: the command a1 to request trip trip-2"},
	"an acked move's id is not recorded": {func(c *town) { delete(c.recorded, trips.IdempotencyKey{Actor: ada, ID: "a1"}) },
		[]string{acked}, "rider:ada: the command a1"},
	"two commands are acked for one move": {func(c *town) {
		ok := c.line(chidi, 1, answerTo("c3"))
		again, asked := *ok, *ok
		again.Command, asked.Command, asked.What = "c3b", "c3b", journal.Invoke
		c.insert(ok, again)
		c.insert(ok, asked)
		c.recorded[trips.IdempotencyKey{Actor: chidi, ID: "c3b"}] = true
	}, []string{acked, open}, "event 3 of trip trip-1 was acked for the command c3 and for c3b"},
	"a refused command was done": {func(c *town) { c.recorded[trips.IdempotencyKey{Actor: dayo, ID: "d1"}] = true }, []string{refused},
		`driver:dayo: the command d1 to accept trip "trip-1" was refused (taken)`},
	"a refused message is kept": {func(c *town) {
		r := c.line(chidi, 1, answerTo("c2"))
		r.What, r.Code = journal.Fail, "chat_closed"
	}, []string{refused}, "driver:chidi: the message c2 on trip trip-1 was refused"},
	"a command without an answer is recorded and was not done": {func(c *town) {
		ask := *c.line(bola, 1, func(r journal.Record) bool { return r.Command == "b2" })
		ask.Command = "b3"
		c.insert(c.line(bola, 1, answerTo("b2")), ask)
		c.recorded[trips.IdempotencyKey{Actor: bola, ID: "b3"}] = true
	}, []string{open}, `rider:bola: 1 events "rider_cancellation", by at least 2 commands`},
	"something was done that was never asked for": {func(c *town) {
		c.removeLine(ada, 1, func(r journal.Record) bool { return r.What == journal.Invoke && r.Command == "a1" })
		c.removeLine(ada, 1, answerTo("a1"))
	}, []string{balanced}, `rider:ada: 1 events "requested", one of them in trip trip-1, by at most 0`},
	"a message is kept that was never sent": {func(c *town) { c.said[0].ClientID = "x" }, []string{balanced, acked, talk},
		"rider:ada: message 1 on trip trip-1, x"},
	"a message without an ack is kept twice": {func(c *town) {
		c.line(ada, 1, answerTo("a3")).What = journal.Info
		c.said[0].ClientID = "a3"
	}, []string{open, once}, "rider:ada: the message a3 on trip trip-1 without an ack is kept 2 times"},
	"a phone was told a state that never was": {func(c *town) { c.line(ada, 3, what(journal.Event)).State = "on_trip" },
		[]string{told}, "trip trip-1 told to be on_trip at 3"},
	"an event was left out": {func(c *town) { c.removeLine(ada, 3, what(journal.Event)) }, []string{order},
		"trip trip-1: event 4 follows event 2"},
	"an event was told twice": {func(c *town) {
		e := c.line(ada, 3, what(journal.Event))
		c.insert(e, *e)
	}, []string{order}, "trip trip-1: event 3 follows event 3"},
	"the first event of a driver's trip was left out": {func(c *town) {
		c.removeLine(chidi, 1, what(journal.Event))
		c.removeLine(chidi, 1, answerTo("c1"))
	}, []string{order}, "trip trip-1: event 3 follows event 1"},
	"a welcome knows less than was told": {func(c *town) {
		w := c.line(chidi, 2, what(journal.Welcome))
		w.Trip, w.Seq, w.State = "trip-1", 4, "on_trip"
	}, []string{order, linear}, "trip trip-1 stands at 4 after event 5"},
	"a gap is not excused by a reconnect that recovers": {func(c *town) {
		e := c.line(ada, 3, what(journal.Event))
		*e = journal.Record{What: journal.Welcome, Who: e.Who, Phone: e.Phone, AtMs: e.AtMs, Recovered: true}
	}, []string{order}, "trip trip-1: event 4 follows event 2"},
	"the last event never came": {func(c *town) {
		c.removeLine(chidi, 5, what(journal.Event))
	}, []string{tail}, "driver:chidi: trip trip-2: event 3, rider_cancellation, was never told; the phone knows 2"},
	"the last message never came": {func(c *town) { c.removeLine(chidi, 3, what(journal.Chat)); c.onlyTripOne() },
		[]string{tail}, "driver:chidi: trip trip-1: message 3 of rider:ada was never told"},
	"a phone was told of a stranger's trip": {func(c *town) {
		e := *c.line(ada, 1, what(journal.Event))
		c.insert(c.line(bola, 1, what(journal.Welcome)), e)
	}, []string{own}, "rider:bola, line 6: trip trip-1 is of rider ada"},
	"a phone was told a stranger's chat": {func(c *town) {
		m := *c.line(ada, 1, what(journal.Chat))
		c.insert(c.line(dayo, 1, what(journal.Welcome)), m)
	}, []string{own}, "driver:dayo, line 10: chat of trip trip-1"},
	"a message was left out": {func(c *town) { c.removeLine(chidi, 1, what(journal.Chat)) }, []string{talk},
		"trip trip-1: message 1 of rider:ada was never told, message 2 was"},
	"messages were told in another order": {func(c *town) {
		a, b := c.line(ada, 2, what(journal.Chat)), c.line(ada, 3, what(journal.Chat))
		a.Chat, a.From, a.Client, b.Chat, b.From, b.Client = b.Chat, b.From, b.Client, a.Chat, a.From, a.Client
	}, []string{talk}, "message 2 came after message 3"},
	"a message was told under another name": {func(c *town) { c.line(ada, 2, what(journal.Chat)).Client = "x" }, []string{talk},
		"told message 2 as x of the driver"},
	"a sender's messages are kept in another order": {func(c *town) {
		c.said[0].ClientID, c.said[2].ClientID = "a3", "a2"
		c.line(ada, 1, answerTo("a2")).Chat, c.line(ada, 1, answerTo("a3")).Chat = 3, 1
	}, []string{turns}, "message 1 was sent after message 3 was acked"},
	"a receipt of another amount": {func(c *town) { c.line(ada, 1, what(journal.Receipt)).Minor++ }, []string{receipts},
		"receipt \"trip-trip-1\" of 150001 NGN"},
	"a car went back": {func(c *town) {
		c.insert(c.line(ada, 3, what(journal.Event)),
			journal.Record{What: journal.Back, Driver: "chidi", BehindMs: 40, Count: 9})
	}, []string{back}, "position 9 of driver chidi is 40.0 ms older"},
	"positions came without credit": {func(c *town) {
		c.insert(c.line(ada, 3, what(journal.Event)),
			journal.Record{What: journal.Broken, Text: "position 9 came after 5 with 5 acked"})
	}, []string{clean}, "position 9 came after 5 with 5 acked"},
	"an answer to no command": {func(c *town) {
		c.insert(c.line(ada, 3, what(journal.Event)), journal.Record{What: journal.OK, Command: "zzz"})
	}, []string{clean}, `an answer to the command "zzz"`},
	"the provider took nothing": {func(c *town) { c.ledger = nil }, []string{fare, same, sums},
		"trip trip-1 of rider ada at 1500.00 NGN: the provider took []"},
	"the provider took it twice": {func(c *town) { c.ledger = append(c.ledger, c.ledger[0]) }, []string{fare, sums},
		"NGN: 150000 in fares of completed trips, 150000 in charges, 300000 in the ledger"},
	"the provider took another amount": {func(c *town) { c.ledger[0]["amount"] = 1 }, []string{fare, same, sums},
		"trip trip-1"},
	"the provider took money for a cancelled trip": {func(c *town) {
		c.ledger = append(c.ledger, map[string]any{"id": 9, "reference": payments.ChargeReference("trip-2"), "status": "success",
			"amount": 1, "currency": "NGN"})
	}, []string{nothing, sums}, "trip trip-2 is cancelled: the provider took"},
	"the provider took money for no trip": {func(c *town) {
		c.ledger = append(c.ledger, map[string]any{"id": 9, "reference": "trip-x", "status": "success",
			"amount": 1, "currency": "NGN"})
	}, []string{nothing, sums}, "no trip explains trip-x"},
	"a charge has another payment's name": {func(c *town) { c.charges[0].ProviderID = "77" }, []string{same},
		"charged 1500.00 NGN as 77"},
	"a driver accepted while on a trip": {func(c *town) {
		ok := c.line(chidi, 1, answerTo("c1"))
		again, asked := *ok, *ok
		again.Command, asked.Command, asked.What, asked.Offer = "c9", "c9", journal.Invoke, "offer c6"
		again.Trip, again.Seq = "trip-2", 2
		c.insert(ok, again)
		c.insert(ok, asked)
	}, []string{linear, acked}, "driver:chidi: no order of"},
	"an acked call for help is not kept": {func(c *town) { c.calls = nil }, []string{acked, seen, acks},
		"rider:ada: the call for help a4 on trip trip-1 was acked; the database has it: false"},
	"an acked call for help is kept on another trip": {func(c *town) { c.calls[0].Trip = "trip-2" },
		[]string{acked, balanced, seen}, "rider:ada: the call for help a4 on trip trip-1 was acked; the database has it: true, on trip"},
	"a refused call for help is kept": {func(c *town) {
		r := c.line(ada, 1, answerTo("a4"))
		r.What, r.Code = journal.Fail, "illegal_move"
	}, []string{refused}, "rider:ada: the call for help a4 on trip trip-1 was refused (illegal_move)"},
	"a call for help without an answer is kept on another trip": {func(c *town) {
		c.line(ada, 1, answerTo("a4")).What = journal.Info
		c.calls[0].Trip = "trip-2"
	}, []string{open}, "rider:ada: the call for help a4 on trip trip-1 without an ack is kept on trip trip-2"},
	"a call for help is kept that was never made": {func(c *town) {
		c.calls = append(c.calls, sos.Alert{ID: "call-2", Trip: "trip-2", From: bola, ClientID: "x", NotifiedAt: c.now})
	}, []string{balanced}, "rider:bola: the call for help call-2 on trip trip-2, x, was never made by them"},
	"a phone is told of an operator who saw nothing": {func(c *town) { c.calls[0].AckedAt = time.Time{} },
		[]string{seen, acks}, "trip trip-1: told that an operator saw a4; the database has trip \"trip-1\", acknowledged: false"},
	"a phone is told of a stranger's call": {func(c *town) {
		c.insert(c.line(bola, 1, what(journal.Welcome)), *c.line(ada, 1, what(journal.Seen)))
	}, []string{seen}, "rider:bola, line 6: trip trip-1: told that an operator saw a4"},
	"a phone is told twice that an operator saw its call": {func(c *town) {
		s := c.line(ada, 1, what(journal.Seen))
		c.insert(s, *s)
	}, []string{again}, "trip trip-1: told again on one connection that an operator saw a4"},
	"a phone is never told that an operator saw its call": {func(c *town) { c.removeLine(ada, 1, what(journal.Seen)) },
		[]string{unaware}, "rider:ada: trip trip-1: an operator saw a4, and the phone was never told"},
	"a call is acknowledged by no operator": {func(c *town) {
		for range 2 {
			c.line(ops, 1, func(r journal.Record) bool { return r.Alert == "call-1" }).Alert = "call-9"
		}
	}, []string{acks}, "trip trip-1: the call call-1 of rider:ada is acknowledged, by no operator"},
	"an acknowledgement of a call that is not there": {func(c *town) { c.calls[0].ID = "call-9" }, []string{acks},
		"operator:ops: the call call-1 was acknowledged with o-call-1; the database has it: false"},
	"a refund was never done": {func(c *town) { c.ledger = c.ledger[:1] }, []string{given},
		"trip trip-1: the refund of 1500.00 NGN is done, as \"2\"; the ledger has []"},
	"a refund was done twice": {func(c *town) { c.ledger = append(c.ledger, c.ledger[1]) }, []string{given, returned},
		"trip trip-1: the refund of"},
	"more was given back than was taken": {func(c *town) { c.ledger[1]["amount"] = 150_001 }, []string{given, returned},
		"trip-trip-1: took"},
	"less was given back than was asked for": {func(c *town) { c.ledger[1]["amount"] = 149_999 }, []string{given},
		"trip trip-1: the refund of"},
	"a refund has another name at the provider": {func(c *town) { c.refunds[0].ProviderID = "77" }, []string{given}, "as \"77\""},
	"a refund that failed was done":             {func(c *town) { c.refunds[0].State = payments.RefundFailed }, []string{given}, "is failed"},
	"a refund that was never asked for":         {func(c *town) { c.refunds = nil }, []string{returned}, "asked: false"},
	"something was given back of what was never taken": {func(c *town) {
		c.ledger[1]["reference"] = payments.ChargeReference("trip-2")
	}, []string{given, returned}, "trip-trip-2: took [], gave back"},
	"a refund never ended": {func(c *town) { c.refunds[0].State = payments.RefundRequested }, []string{ended},
		"trip trip-1: the refund of 1500.00 NGN was asked for"},
	"the log binds a driver twice": {func(c *town) {
		i := slices.IndexFunc(c.events, func(ev trips.Event) bool { return ev.Kind == trips.KindCompleted })
		c.events = append(slices.Clone(c.events[:i]), c.events[i+1:]...)
	}, []string{atomic}, "driver chidi: event 2 of trip trip-2"},
}

// onlyTripOne removes all that came after the first trip.
func (c *town) onlyTripOne() {
	c.events = slices.DeleteFunc(c.events, func(ev trips.Event) bool { return ev.Trip.ID == "trip-2" })
	c.journal = slices.DeleteFunc(c.journal, func(r journal.Record) bool {
		return r.Trip == "trip-2" || r.Command == "c6" || strings.HasPrefix(r.Command, "b") ||
			r.What == journal.Lost && r.Count == 7 ||
			r.What == journal.Hello && r.Trip != ""
	})
}

func TestEveryLieIsNoticedAndItsRowNamed(t *testing.T) {
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			c := honest()
			lie.tell(c)
			expectViolations(t, judged(t, c.evidence(t)), lie.names, lie.breaks...)
		})
	}
}

// expectViolations expects violations of the named invariants, and a row of
// theirs that contains a text.
func expectViolations(t *testing.T, r check.Report, names string, breaks ...string) {
	t.Helper()
	rows := ""
	for _, name := range breaks {
		i := slices.IndexFunc(r.Invariants, func(i check.Invariant) bool { return i.Name == name })
		if i < 0 {
			t.Fatalf("no invariant is called %q", name)
		}
		if r.Invariants[i].Violations == 0 {
			t.Errorf("not noticed by: %s", name)
		}
		rows += strings.Join(r.Invariants[i].Rows, "\n") + "\n"
	}

	if !strings.Contains(rows, names) {
		t.Errorf("no row names %q:\n%s", names, r.Text())
	}
}

func TestEachInvariantHasALieThatItNotices(t *testing.T) {
	caught := map[string]bool{}
	for _, lie := range lies {
		for _, name := range lie.breaks {
			caught[name] = true
		}
	}

	r := judged(t, honest().evidence(t))
	audits := slices.IndexFunc(r.Invariants, func(i check.Invariant) bool { return i.Name == acked })
	for _, i := range r.Invariants[audits:] {
		// The audit's own invariants have such tests in store/audit.
		if !caught[i.Name] {
			t.Errorf("no lie is told to: %s", i.Name)
		}
	}
}

func TestAHistoryThatCannotBeDecidedInTimeCounts(t *testing.T) {
	e := honest().evidence(t)
	e.Linearize = 1
	expectViolations(t, judged(t, e), "driver:chidi: no verdict on", linear)
}

func TestAPhoneThatWasOfflineInTheEndNeedNotKnowHowAllEnded(t *testing.T) {
	c := honest()
	c.removeLine(chidi, 5, what(journal.Event))
	c.line(chidi, 2, what(journal.Lost)).AtMs -= 15_000
	if r := judged(t, c.evidence(t)); r.Violations() != 0 {
		t.Error(r.Text())
	}
}

func TestATruncatedJournalIsNoEvidenceOfWhatItMayLack(t *testing.T) {
	c := honest()
	c.journal = c.journal[:len(c.journal)/2]
	c.events = append(c.events[:0:0], c.events...)
	r := judged(t, c.evidence(t))
	for _, i := range r.Invariants {
		if (i.Name == balanced || i.Name == tail) && i.Violations > 0 {
			t.Error(r.Text())
		}
	}
}
