// Package scale adds up what a world of drivers costs: its nodes, the Redis
// between them and the Postgres behind them. It measures nothing. It multiplies
// the costs that other commands measured (Measured) by the numbers of a World,
// so that anyone can repeat the sum with numbers of their own.
package scale

import (
	"errors"
	"fmt"
	"math"
)

// World is what is asked about.
type World struct {
	Nodes          int     `json:"nodes"`
	DriversPerNode int     `json:"drivers_per_node"`
	FixesPerSecond float64 `json:"fixes_per_second"` // of each driver
	OnTrip         float64 `json:"on_trip"`          // share of the drivers
	RidesPerHour   float64 `json:"rides_per_hour"`   // of each driver
	// Viewers is how many riders a driver look at the map of free cars, and a
	// new list a second.
	Viewers float64 `json:"viewers"`
	// Routed is the share of phones that a balancer sends to a node that owns
	// regions where they are. The others reach any node.
	Routed float64 `json:"routed"`
}

// DefaultWorld is a busy hour: half of the drivers have a rider, and no
// balancer knows where a phone is.
func DefaultWorld(nodes int) World {
	return World{Nodes: nodes, DriversPerNode: 10_000, FixesPerSecond: 1, OnTrip: .5, RidesPerHour: 1.5, Viewers: .2}
}

// ErrWorld says which number of a World cannot be.
var ErrWorld = errors.New("no such world")

// Check returns an error that wraps ErrWorld unless every number makes sense.
func (w World) Check() error {
	switch {
	case w.Nodes < 1, w.DriversPerNode < 1:
		return fmt.Errorf("%w: it takes a node and a driver", ErrWorld)
	case !(w.OnTrip >= 0 && w.OnTrip <= 1), !(w.Routed >= 0 && w.Routed <= 1):
		return fmt.Errorf("%w: a share is from 0 to 1", ErrWorld)
	case !(w.FixesPerSecond > 0), !(w.RidesPerHour >= 0), !(w.Viewers >= 0), math.IsInf(w.FixesPerSecond+w.RidesPerHour+w.Viewers, 0):
		return fmt.Errorf("%w: rates are not negative, and a driver sends fixes", ErrWorld)
	}
	return nil
}

// blockNodes is how many nodes share the dispatch of a block, and so are told
// or asked about one place (events.RegionOwner).
const blockNodes = 8

// Sum is what a World costs. Figures of a node are of one of them.
type Sum struct {
	World
	Drivers        int     `json:"drivers"`
	RidesPerSecond float64 `json:"rides_per_second"`

	NodeCores       float64 `json:"node_cores"`
	NodeMemory      float64 `json:"node_memory_bytes"`
	NodeBytesOut    float64 `json:"node_bytes_out_of_redis"` // each second
	NodeMessages    float64 `json:"node_messages"`           // received each second
	NodeDrivers     float64 `json:"node_drivers_known"`
	NodeCommands    float64 `json:"node_redis_commands"` // each second
	ToldAllBytesOut float64 `json:"told_all_bytes_out_of_redis"`
	ToldAllDrivers  float64 `json:"told_all_drivers_known"`

	MemberBytes   float64 `json:"member_bytes"` // read by all nodes each second
	RedisMessages float64 `json:"redis_messages"`
	RedisBytes    float64 `json:"redis_bytes"`
	RedisServers  int     `json:"redis_servers"`

	PostgresWrites      float64 `json:"postgres_writes"` // statements each second
	PostgresPrimaries   int     `json:"postgres_primaries"`
	PostgresConnections int     `json:"postgres_connections"`

	FirstLimit string `json:"first_limit"`
}

// Add returns what a world costs by the measured costs.
func Add(w World, c Costs) Sum {
	s := Sum{World: w, Drivers: w.Nodes * w.DriversPerNode}
	nodes, own := float64(w.Nodes), float64(w.DriversPerNode)
	s.RidesPerSecond = float64(s.Drivers) * w.RidesPerHour / 3600

	// What crosses nodes: a driver's region has its owner at random, among the
	// nodes of its block if the balancer knows where the phone is.
	elsewhere := 1 - (w.Routed/math.Min(nodes, blockNodes) + (1-w.Routed)/nodes)
	fixes := own * w.FixesPerSecond
	free, driving := fixes*(1-w.OnTrip)*elsewhere, fixes*w.OnTrip*elsewhere
	rides := s.RidesPerSecond / nodes
	news := rides * c.EventsPerRide * (2*elsewhere + 1) // to rider, driver and owner; the owner's comes through Redis on one node too
	answers := (own*w.Viewers + rides*c.QuestionsPerRide) * elsewhere

	targets := math.Min(nodes-1, w.Routed*blockNodes+(1-w.Routed)*(nodes-1))
	fleets := math.Min(free, targets*c.TicksPerSecond)
	if w.Nodes == 1 {
		fleets = 0
	}
	s.NodeMessages = fleets + driving + news + answers
	s.NodeCommands = c.IdleCommands + 2*s.NodeMessages
	s.MemberBytes = nodes * nodes * c.MemberBytes
	s.NodeBytesOut = free*c.FleetBytes + fleets*c.MessageBytes + driving*c.CarBytes + news*c.EventBytes + answers*c.AnswerBytes +
		nodes*c.MemberBytes + c.IdleBytes
	s.NodeCores = (fixes*c.FixMicros + free*c.ReplicaMicros + driving*c.CarMicros + (news+answers)*c.NewsMicros) / 1e6
	s.NodeDrivers = 2 * own // its own phones', and those of the regions that it owns
	if w.Nodes == 1 {
		s.NodeDrivers = own
	}
	s.NodeMemory = 2*own*c.SocketBytes + (s.NodeDrivers-own)*c.DriverBytes

	s.ToldAllBytesOut = (nodes-1)*fixes*c.FleetBytes + nodes*rides*c.EventsPerRide*c.EventBytes
	s.ToldAllDrivers = nodes * own

	s.RedisMessages, s.RedisBytes = nodes*s.NodeMessages, nodes*s.NodeBytesOut
	s.RedisServers = max(1, int(math.Ceil(s.RedisMessages/c.RedisMessages)))
	s.PostgresWrites = s.RidesPerSecond * c.WritesPerRide
	s.PostgresPrimaries = max(1, int(math.Ceil(s.PostgresWrites/c.PostgresWrites)))
	s.PostgresConnections = w.Nodes * c.Connections
	s.FirstLimit = s.findFirstLimit(c)
	return s
}

// findFirstLimit returns what must be divided first, or "" if one of each will
// do.
func (s Sum) findFirstLimit(c Costs) string {
	type limit struct {
		use  float64 // 1: what one server bears
		what string
	}
	first := limit{1, ""}
	for _, l := range []limit{
		{s.NodeCores / c.NodeCores, "the nodes' own processors: fewer drivers on each node"},
		{s.RedisMessages / c.RedisMessages, "one Redis: a Redis Cluster"},
		{s.PostgresWrites / c.PostgresWrites, "one Postgres: cells, or a partitioned one"},
		{float64(s.PostgresConnections) / c.PostgresConnections, "connections to one Postgres: PgBouncer"},
		{s.MemberBytes / c.MemberLimit, "the list of nodes, which each node reads once a second: cells"},
	} {
		if l.use > first.use {
			first = l
		}
	}
	return first.what
}
