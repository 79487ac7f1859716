package tracing

import (
	"strconv"

	"github.com/ridehail/ridehail/trips"
)

// Mechanism is how the two ends of a hop talk.
type Mechanism string

// The mechanisms. Code is work inside one part, and Person the wait for one.
const (
	Socket   Mechanism = "socket"
	Memory   Mechanism = "memory"
	RPC      Mechanism = "rpc"
	PubSub   Mechanism = "pubsub"
	Direct   Mechanism = "direct"
	Queue    Mechanism = "queue"
	Database Mechanism = "database"
	Code     Mechanism = "code"
	Person   Mechanism = "person"
)

// Part is an end of a hop.
type Part string

// The parts.
const (
	RiderPhone  Part = "rider_phone"
	DriverPhone Part = "driver_phone"
	Gateway     Part = "gateway" // with the HTTP API
	SharedState Part = "memory"
	Dispatch    Part = "dispatch"
	Routing     Part = "routing"
	Store       Part = "store"
	Outbox      Part = "outbox" // and its relay
	Redis       Part = "redis"
	OtherNode   Part = "node"
	JobQueue    Part = "queue"
	Provider    Part = "provider"
)

// PhoneOf returns the part that a user's phone is.
func PhoneOf(role trips.Role) Part {
	if role == trips.RoleDriver {
		return DriverPhone
	}
	return RiderPhone
}

// Wait is what the time of a hop is spent on.
type Wait string

// The waits.
const (
	People  Wait = "people"
	Queued  Wait = "queue"
	Network Wait = "network"
	Disk    Wait = "disk"
	Working Wait = "code"
)

// Phase is a part of a ride. Offers, positions, messages and reconnects happen
// several times; Hop.Nth tells which.
type Phase string

// The phases, in the order of a ride. Cancel stands for every early end.
const (
	Quote    Phase = "quote"
	Request  Phase = "request"
	Match    Phase = "match"
	Offer    Phase = "offer"
	Accept   Phase = "accept"
	Position Phase = "position"
	Arrive   Phase = "arrive"
	Start    Phase = "start"
	Complete Phase = "complete"
	Cancel   Phase = "cancel"
	Charge   Phase = "charge"
	Receipt  Phase = "receipt"
	Chat     Phase = "chat"
	Resume   Phase = "resume"
	Takeover Phase = "takeover" // a node or a relay died, and another went on
)

// PhaseOf returns the phase that a trip event of a kind ends.
func PhaseOf(kind trips.Kind) Phase {
	switch kind {
	case trips.KindRequested:
		return Request
	case trips.KindReserved:
		return Accept
	case trips.KindArrived:
		return Arrive
	case trips.KindOnTrip:
		return Start
	case trips.KindCompleted:
		return Complete
	}
	return Cancel
}

// Kind is what all hops of one name have in common.
type Kind struct {
	Name      string
	Mechanism Mechanism
	From, To  Part // empty where it depends, as on whose phone it is
	Sync      bool // the sender waits for the answer
	Wait      Wait

	What       string // one sentence
	MayLose    string // empty: nothing
	MendedBy   string
	Experiment string // of the lab, with its flags; empty: none
}

// Hop returns a hop of this kind.
func (k *Kind) Hop(phase Phase, nth int) Hop {
	return Hop{Kind: k, Phase: phase, Nth: nth, From: k.From, To: k.To}
}

// kinds has every kind by its name.
var kinds = map[string]*Kind{}

// KindNamed returns the kind of a name, or nil.
func KindNamed(name string) *Kind { return kinds[name] }

func define(k Kind) *Kind {
	kinds[k.Name] = &k
	return &k
}

// Commands of phones, over the socket or HTTP.
var (
	FrameRead = define(Kind{Name: "frame_read", Mechanism: Socket, To: Gateway, Wait: Network,
		What:    "The phone's command, from the phone's clock (or the first byte, where the phone sends no time) to the decoded frame.",
		MayLose: "the frame, when the connection ends", MendedBy: "the phone sends it again under the same id", Experiment: "rtt"})
	CommandWait = define(Kind{Name: "command_wait", Mechanism: Memory, From: Gateway, To: Gateway, Wait: Queued,
		What: "The command waits behind earlier ones of its session; positions pass it."})
	AckWritten = define(Kind{Name: "ack_written", Mechanism: Socket, From: Gateway, Wait: Network,
		What: "The answer to the command.", MayLose: "the answer, when the connection ends",
		MendedBy: "the phone asks again; the command's id gives the same answer", Experiment: "loss"})
	EventWritten = define(Kind{Name: "event_written", Mechanism: Socket, From: Gateway, Wait: Network,
		What: "The trip event, written to a phone.", MayLose: "the event, for a phone that is away",
		MendedBy: "its number: the phone resumes from the last one that it has", Experiment: "patterns"})
	HTTPRead = define(Kind{Name: "http_read", Mechanism: RPC, To: Gateway, Sync: true, Wait: Network,
		What: "The command over HTTP, from its first line to the decoded body.", MayLose: "the request, when the connection ends",
		MendedBy: "the client sends it again with the same Idempotency-Key"})
	HTTPWritten = define(Kind{Name: "http_written", Mechanism: RPC, From: Gateway, Wait: Network,
		What: "The answer to the command over HTTP.", MayLose: "the answer, when the connection ends",
		MendedBy: "the client asks again; the Idempotency-Key gives the same answer"})
)

// The quote.
var (
	QuoteRead = define(Kind{Name: "quote_read", Mechanism: RPC, From: RiderPhone, To: Gateway, Sync: true, Wait: Network,
		What: "The rider asks for a price over HTTP.", MayLose: "the question or the answer", MendedBy: "the rider asks again; a quote changes nothing"})
	RouteCall = define(Kind{Name: "route_call", Mechanism: RPC, From: Gateway, To: Routing, Sync: true, Wait: Network,
		What: "The way and its time by road, within 300 ms.", MayLose: "the answer", MendedBy: "a straight line stands in, and the quote says so", Experiment: "fanout"})
	PickupCall = define(Kind{Name: "pickup_call", Mechanism: RPC, From: Gateway, To: Routing, Sync: true, Wait: Network,
		What: "How long the nearest free car takes to the pickup.", MayLose: "the answer", MendedBy: "a straight line stands in", Experiment: "fanout"})
	SurgeRead = define(Kind{Name: "surge_read", Mechanism: Memory, From: Gateway, To: SharedState, Sync: true, Wait: Working,
		What: "How busy the place is, and the price, signed for two minutes.", Experiment: "ladder"})
	QuoteWritten = define(Kind{Name: "quote_written", Mechanism: RPC, From: Gateway, To: RiderPhone, Wait: Network,
		What: "The price, to the rider."})
	PriceRead = define(Kind{Name: "price_read", Mechanism: Person, From: RiderPhone, To: RiderPhone, Wait: People,
		What: "The rider reads the price."})
)

// The database.
var (
	CommitWait = define(Kind{Name: "commit_wait", Mechanism: Database, From: Gateway, To: Store, Sync: true, Wait: Queued,
		What: "The move waits for the commit that is under way, to share the next one."})
	Statement = define(Kind{Name: "statement", Mechanism: Database, From: Gateway, To: Store, Sync: true, Wait: Disk,
		What:    "One transaction: trip, event, outbox row and command, for all moves that share it.",
		MayLose: "the server's answer", MendedBy: "the command is read back before anything else is concluded", Experiment: "ladder"})
	ReadBack = define(Kind{Name: "read_back", Mechanism: Database, From: Gateway, To: Store, Sync: true, Wait: Disk,
		What: "After a failure: was the command carried out?"})
	StateRead = define(Kind{Name: "state_read", Mechanism: Database, From: Gateway, To: Store, Sync: true, Wait: Disk,
		What: "What the phone has missed, for many phones at once."})
)

// The outbox, and publish/subscribe.
var (
	OutboxWait = define(Kind{Name: "outbox_wait", Mechanism: Database, From: Store, To: Outbox, Wait: Queued,
		What:    "The outbox row waits for the relay that has its shard.",
		MayLose: "time, when that relay is dead", MendedBy: "its lease ends after 3 s and another node takes the shard"})
	Publish = define(Kind{Name: "publish", Mechanism: PubSub, From: Outbox, To: Redis, Sync: true, Wait: Network,
		What: "The relay publishes a batch of rows in one round trip.", MayLose: "the message, for a node that is not listening",
		MendedBy: "events are numbered: who sees a gap reads the database", Experiment: "patterns"})
	Heard = define(Kind{Name: "heard", Mechanism: PubSub, From: Redis, To: OtherNode, Wait: Network,
		What: "A node that follows the channel hears the event.", MayLose: "the message", MendedBy: "a gap is told, and the database is read", Experiment: "patterns"})
)

// The match and the offer.
var (
	WindowWait = define(Kind{Name: "window_wait", Mechanism: Memory, From: Dispatch, To: Dispatch, Wait: Queued,
		What: "The trip waits for its window, so that all of them are matched together."})
	LookAround = define(Kind{Name: "look_around", Mechanism: Direct, From: Dispatch, To: OtherNode, Sync: true, Wait: Network,
		What: "Nodes that own regions near by are asked for their cars.", MayLose: "an answer", MendedBy: "after 150 ms the search goes on without it", Experiment: "nodes"})
	CandidateSearch = define(Kind{Name: "candidates", Mechanism: Memory, From: Dispatch, To: SharedState, Sync: true, Wait: Working,
		What: "The nearest free cars, ring by ring, in shared memory.", Experiment: "ladder"})
	MatrixCall = define(Kind{Name: "matrix_call", Mechanism: RPC, From: Dispatch, To: Routing, Sync: true, Wait: Network,
		What: "Travel times of all candidates in one call.", MayLose: "the answer", MendedBy: "straight lines stand in", Experiment: "fanout"})
	Assignment = define(Kind{Name: "assignment", Mechanism: Code, From: Dispatch, To: Dispatch, Sync: true, Wait: Working,
		What: "Trips and cars are paired at the least total cost."})
	Reserve = define(Kind{Name: "reserve", Mechanism: Memory, From: Dispatch, To: SharedState, Sync: true, Wait: Working,
		What: "Compare and set: of two searches one gets the car.", Experiment: "races"})
	OfferSent = define(Kind{Name: "offer_sent", Mechanism: Direct, From: Dispatch, To: Gateway, Wait: Network,
		What:    "The offer, to the node that holds the driver's socket: a call within a node, a message through Redis to another.",
		MayLose: "the offer", MendedBy: "it expires after 15 s and the next driver is asked", Experiment: "provider"})
	// OfferHanded is OfferSent within a node.
	OfferHanded = &Kind{Name: OfferSent.Name, Mechanism: Memory, From: Dispatch, To: Gateway, Sync: true, Wait: Working, What: OfferSent.What}
	OfferHeard  = define(Kind{Name: "offer_heard", Mechanism: Direct, From: Redis, To: OtherNode, Wait: Network,
		What: "The driver's node hears the offer.", MayLose: "the offer", MendedBy: "its expiry"})
	OfferWritten = define(Kind{Name: "offer_written", Mechanism: Socket, From: Gateway, To: DriverPhone, Wait: Network,
		What: "The offer, on the driver's phone.", MayLose: "the offer, when the connection ends", MendedBy: "it is written again to the phone that comes back, until it expires"})
	OfferThought = define(Kind{Name: "offer_thought", Mechanism: Person, From: DriverPhone, To: DriverPhone, Wait: People,
		What: "The driver thinks, until the answer or the end of the offer."})
	AnswerSent = define(Kind{Name: "answer_sent", Mechanism: Direct, From: Gateway, To: Redis, Sync: true, Wait: Network,
		What: "The driver's node tells the dispatching one that the offer was declined, or that the driver is gone.", MayLose: "the answer", MendedBy: "the offer's expiry"})
	AnswerHeard = define(Kind{Name: "answer_heard", Mechanism: Direct, From: Redis, To: Dispatch, Wait: Network,
		What: "The dispatching node hears that answer.", MayLose: "the answer", MendedBy: "the offer's expiry"})
	WithdrawSent = define(Kind{Name: "withdraw_sent", Mechanism: Direct, From: Dispatch, To: Redis, Sync: true, Wait: Network,
		What: "The offer is taken back from the driver's node.", MayLose: "the message", MendedBy: "the offer's expiry"})
	WithdrawHeard = define(Kind{Name: "withdraw_heard", Mechanism: Direct, From: Redis, To: Gateway, Wait: Network,
		What: "The driver's node hears that.", MayLose: "the message", MendedBy: "the offer's expiry"})
	OfferEnded = define(Kind{Name: "offer_ended", Mechanism: Memory, From: Gateway, To: Dispatch, Wait: Working,
		What: "The search hears how the offer ended. The reason says so."})
)

// One position.
var (
	FixSent = define(Kind{Name: "fix_sent", Mechanism: Socket, From: DriverPhone, To: Gateway, Wait: Network,
		What: "The driver's position, from the phone's clock to the node.", MayLose: "nothing that the next one does not replace", MendedBy: "the next fix", Experiment: "slowphone"})
	FixMoved = define(Kind{Name: "fix_moved", Mechanism: Memory, From: Gateway, To: SharedState, Sync: true, Wait: Working,
		What: "The position is checked and stored in shared memory.", Experiment: "locks"})
	CarPublished = define(Kind{Name: "car_published", Mechanism: PubSub, From: SharedState, To: Redis, Sync: true, Wait: Network,
		What: "The car's position, on its own channel, for riders of other nodes.", MayLose: "the position", MendedBy: "the next one", Experiment: "nodes"})
	CarHeard = define(Kind{Name: "car_heard", Mechanism: PubSub, From: Redis, To: OtherNode, Wait: Network,
		What: "The rider's node hears where the car is.", MayLose: "the position", MendedBy: "the next one"})
	PositionWritten = define(Kind{Name: "position_written", Mechanism: Socket, From: Gateway, To: RiderPhone, Wait: Network,
		What:    "The newest position, written by the reader that brought it; only while fewer than two are un-acked.",
		MayLose: "a position that a newer one overtakes", MendedBy: "the next fix; overwritten counts them", Experiment: "slowphone"})
	PositionAcked = define(Kind{Name: "position_acked", Mechanism: Socket, From: RiderPhone, To: Gateway, Wait: Network,
		What: "The phone has shown it, which makes room for the next one."})
)

// Money.
var (
	JobAdded = define(Kind{Name: "job_added", Mechanism: Queue, From: Outbox, To: JobQueue, Sync: true, Wait: Network,
		What: "The completed trip becomes a job on a stream.", MayLose: "the stream, with its server", MendedBy: "the reconciler finds completed trips without a charge", Experiment: "provider"})
	JobWait = define(Kind{Name: "job_wait", Mechanism: Queue, From: JobQueue, To: OtherNode, Wait: Queued,
		What: "The job waits for a worker. The code says which delivery it is, and the reason why it came again.", MayLose: "nothing: it comes again until it is acknowledged", Experiment: "provider"})
	ProviderCall = define(Kind{Name: "provider_call", Mechanism: RPC, From: OtherNode, To: Provider, Sync: true, Wait: Network,
		What: "The charge, or the question whether it was made.", MayLose: "the provider's answer", MendedBy: "one reference for the trip: it is verified before it is charged again", Experiment: "retries"})
	BudgetWait = define(Kind{Name: "budget_wait", Mechanism: Code, From: OtherNode, To: OtherNode, Wait: Queued,
		What: "The next attempt waits: it backs off, or the node's budget of retries is used up.", Experiment: "retries"})
	ChargeRecorded = define(Kind{Name: "charge_recorded", Mechanism: Database, From: OtherNode, To: Store, Sync: true, Wait: Disk,
		What: "The charge and the receipt's outbox row, in one transaction."})
)

// Connections and nodes that were lost.
var (
	ConnectionLost = define(Kind{Name: "connection_lost", Mechanism: Socket, To: Gateway, Wait: Network,
		What: "The phone's connection ended; until it comes back it hears nothing.", MayLose: "what is not numbered", MendedBy: "resume", Experiment: "detectors"})
	WelcomeWritten = define(Kind{Name: "welcome_written", Mechanism: Socket, From: Gateway, Wait: Network,
		What: "The trip as it stands, and what the phone missed."})
	TakenOver = define(Kind{Name: "taken_over", Mechanism: Database, From: Store, To: Dispatch, Wait: Queued,
		What: "This node went on with what another one left. The reason names it.", Experiment: "owners"})
	NodeGone = define(Kind{Name: "node_gone", Mechanism: Direct, From: OtherNode, To: Redis, Wait: Network,
		What: "The heartbeat of the driver's node has ended: from the car's last sign until this node knew.", MayLose: "the car's positions",
		MendedBy: "the driver's phone connects to another node", Experiment: "owners"})
)

// Ride is the whole ride: the root of its trace.
var Ride = define(Kind{Name: "ride", Mechanism: Person, From: RiderPhone, To: RiderPhone, Wait: People, What: "The whole ride."})

// ReceiptID is the identity of the receipt in keys.
const ReceiptID = "receipt"

// EventID is the identity of a trip's event in keys: "commit:event:3" is the
// statement that committed the third one, "publish:event:3" its publishing.
func EventID(seq uint32) string { return "event:" + strconv.FormatUint(uint64(seq), 10) }

// ChatID is the identity of a chat message in keys.
func ChatID(seq uint32) string { return "chat:" + strconv.FormatUint(uint64(seq), 10) }
