package scale

// Costs are what one of a thing costs, as measured, and what one server bears.
// Each names the command that measured it; docs/scale.md says how.
type Costs struct {
	// Of a node.
	FixMicros     float64 // of a core for a fix: read, checked, kept, written to the rider
	ReplicaMicros float64 // of a core for another node's free driver
	CarMicros     float64 // of a core for a fix of another node's car in a ride
	NewsMicros    float64 // of a core for a trip event, a question or an answer
	SocketBytes   float64 // memory of a phone
	DriverBytes   float64 // memory of another node's driver
	IdleCommands  float64 // of Redis each second, by a node without phones
	IdleBytes     float64 // out of Redis each second, to a node without phones
	Connections   int     // to Postgres
	NodeCores     float64 // a node's machine

	// Between nodes.
	TicksPerSecond float64 // changed drivers are sent so often
	MessageBytes   float64 // around a message's own bytes
	FleetBytes     float64 // a free driver
	CarBytes       float64 // a fix of a car in a ride, with its message
	EventBytes     float64 // a trip event
	AnswerBytes    float64 // the free cars around a place
	MemberBytes    float64 // a node's name in the list
	EventsPerRide  float64
	// QuestionsPerRide is how often the owners around a place are asked for
	// their cars: for quotes, and to match at a border.
	QuestionsPerRide float64
	WritesPerRide    float64 // statements of Postgres that write

	// What one server bears each second, at half of what it was driven to.
	RedisMessages       float64
	PostgresWrites      float64
	PostgresConnections float64
	MemberLimit         float64 // bytes
}

// Measured are the costs on two shared cores of an AMD EPYC, 2026-11.
var Measured = Costs{
	// Two cores carried 60,000 fixes a second with their phones: make bench
	// BENCH=./lab/latency. Those of other nodes are of a profile of four nodes,
	// rounded up; no command repeats them.
	FixMicros: 33, ReplicaMicros: 12, CarMicros: 30, NewsMicros: 100,
	SocketBytes: 9.7e3, DriverBytes: 663, // make bench BENCH=./gateway; a profile
	IdleCommands: 15, IdleBytes: 500, // ridehail cluster
	Connections: 16, NodeCores: 4, // settings

	// ridehail cluster --nodes 1,2,4,8 --redis server --json.
	TicksPerSecond: 5, MessageBytes: 60, FleetBytes: 96, CarBytes: 158, EventBytes: 520, AnswerBytes: 2_200, MemberBytes: 73,
	EventsPerRide: 6, QuestionsPerRide: 4, WritesPerRide: 6.5,

	RedisMessages: 100_000, PostgresWrites: 4_800, // half of redis-benchmark's; half of make bench BENCH=./store/postgres
	PostgresConnections: 500, MemberLimit: 10e6, // settings
}
