package node

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/xray"
)

// Ledger says what became of the messages of each mechanism since the node
// started; docs/tracing.md says what each number counts. It asks the database
// and Redis what waits there, once each.
func (n *Node) Ledger(ctx context.Context) []xray.Account {
	return n.takeReading(ctx).ledger()
}

// reading is what the counters of a node say at one moment, and what waits.
type reading struct {
	at      time.Time // by the node's clock
	values  metricValues
	traffic gateway.Traffic
	drivers sharedstate.Counts
	routing routing.Stats

	unhandled int // messages that wait in listeners' queues
	questions int // to other nodes, not answered yet
	searching int // trips that wait for a driver
	probe     probed
}

// takeReading reads everything once. What has ended is read before what waits,
// so that a message that moves meanwhile is missing rather than counted twice.
func (n *Node) takeReading(ctx context.Context) reading {
	return reading{probe: n.probeServers(ctx), at: n.clock.Now(), values: readMetrics(n.registry), drivers: n.drivers.Counts(),
		routing: n.routes.Stats(), traffic: n.gateway.Traffic(),
		unhandled: n.listener.WaitingMessages() + n.fleet.listener.WaitingMessages(),
		questions: n.fleet.questions.countOpen(), searching: len(n.dispatcher.WaitingTrips(nil))}
}

// ledger has one account for each class of messages of each mechanism.
func (r reading) ledger() []xray.Account {
	all := slices.Concat(r.socketAccounts(), r.callAccounts(), r.publishedAccounts(), r.directAccounts(), r.keptAccounts())
	for i := range all {
		all[i].AddUp()
	}
	return all
}

// phoneClasses are the classes of messages to phones, as package gateway counts
// them.
var phoneClasses = []string{"position", "trip_event", "chat", "offer", "receipt", "typing", "cars", "other"}

// socketAccounts are of messages to phones and from them.
func (r reading) socketAccounts() (all []xray.Account) {
	for _, class := range phoneClasses {
		count := func(outcome string) int64 {
			return r.values.sum("ridehail_delivery_total", "class", class, "outcome", outcome)
		}
		all = append(all, xray.Account{Mechanism: string(tracing.Socket), Class: class, Delivered: count("sent"), Recovered: count("recovered"),
			Repeated: count("duplicate"), Overwritten: count("overwritten"), Lost: count("lost_slow") + count("lost_gone"),
			Waiting: int64(r.traffic.Waiting[class])})
	}

	accepted := r.values.sum("ridehail_gateway_updates_total", "result", "accepted")
	unavailable := r.values.sum("ridehail_gateway_commands_total", "code", "unavailable")
	return append(all,
		xray.Account{Mechanism: string(tracing.Socket), Class: "fix", Delivered: accepted,
			Lost: r.values.sum("ridehail_gateway_updates_total") - accepted},
		xray.Account{Mechanism: string(tracing.Socket), Class: "command",
			Delivered: r.values.sum("ridehail_gateway_commands_total") - unavailable,
			Lost:      unavailable + r.values.sum("ridehail_gateway_drops_total", "reason", "commands_full"),
			Waiting:   int64(r.traffic.Commands)})
}

// callAccounts are of calls within the node's memory and to services.
func (r reading) callAccounts() []xray.Account {
	var refused uint64
	for _, n := range r.drivers.Rejected {
		refused += n
	}
	calls := func(outcome string) int64 {
		return r.values.sum("ridehail_payments_provider_calls_total", "outcome", outcome)
	}
	s := r.routing
	unanswered := s.Skipped + s.Unanswered
	return []xray.Account{
		{Mechanism: string(tracing.Memory), Class: "move", Delivered: int64(r.drivers.Accepted), Lost: int64(refused)},
		{Mechanism: string(tracing.Memory), Class: "reserve", Delivered: int64(r.drivers.Reserved), Lost: int64(r.drivers.NotReserved)},
		{Mechanism: string(tracing.RPC), Class: "routing_call", Delivered: int64(s.Road - s.AnsweredAgain), Recovered: int64(s.AnsweredAgain),
			Lost: int64(unanswered), Waiting: int64(s.Calls - s.Road - unanswered)},
		{Mechanism: string(tracing.RPC), Class: "provider_call", Delivered: calls("answered"), Recovered: calls("recovered"),
			Repeated: calls("repeated"), Lost: calls("unanswered"), Waiting: r.values.sum("ridehail_payments_provider_calls_under_way")},
	}
}

// publishedAccounts are of messages that this node publishes to those that
// follow a channel, and one of all that it heard.
func (r reading) publishedAccounts() (all []xray.Account) {
	for _, class := range []struct{ name, topic string }{{"trip_event", string(trips.TopicTrip)}, {"chat", string(trips.TopicChat)},
		{"receipt", string(trips.TopicReceipt)}, {"alert", string(sos.TopicAlert)}} {
		a := r.relayed("topic", class.topic)
		a.Mechanism, a.Class = string(tracing.PubSub), class.name
		all = append(all, a)
	}

	car, typing := r.published(topicCar), r.published(gateway.TopicTyping)
	car.Mechanism, car.Class, car.Overwritten = string(tracing.PubSub), "car", r.values.sum("ridehail_fleet_overwritten_total")
	typing.Mechanism, typing.Class = string(tracing.PubSub), "typing"
	return append(all, car, typing, xray.Account{Mechanism: string(tracing.PubSub), Class: "heard",
		Delivered: r.values.sum("ridehail_events_handled_total"), Overwritten: r.values.sum("ridehail_events_overwritten_total"),
		Lost: r.values.sum("ridehail_events_dropped_total"), Waiting: int64(r.unhandled)})
}

// relayed is of the outbox messages that the relay published, of all or of some.
func (r reading) relayed(label ...string) xray.Account {
	count := func(outcome string) int64 {
		return r.values.sum("ridehail_relay_messages_total", append([]string{"outcome", outcome}, label...)...)
	}
	return xray.Account{Delivered: count("at_once"), Recovered: count("after_outage"), Repeated: count("repeated")}
}

// published is of messages that are published once or never.
func (r reading) published(topics ...string) (a xray.Account) {
	for _, topic := range topics {
		a.Delivered += r.values.sum("ridehail_events_published_total", "topic", topic)
		a.Lost += r.values.sum("ridehail_events_publish_failed_total", "topic", topic)
	}
	return a
}

// directAccounts are of messages to one other node, and of offers, which within
// a node are calls.
func (r reading) directAccounts() []xray.Account {
	offers := r.published(topicWithdraw, topicDeclined, topicDriverGone)
	offers.Mechanism, offers.Class = string(tracing.Direct), "offer"
	offers.Delivered += r.values.sum("ridehail_dispatch_offers_total", "outcome", "made")
	offers.Lost += r.values.sum("ridehail_dispatch_offers_total", "outcome", "unreachable")

	fleet := r.published(topicFleet)
	fleet.Mechanism, fleet.Class = string(tracing.Direct), "fleet"
	asked := func(outcome string) int64 { return r.values.sum("ridehail_fleet_questions_total", "outcome", outcome) }
	return []xray.Account{offers, fleet, {Mechanism: string(tracing.Direct), Class: "question", Delivered: asked("answered"),
		Lost: asked("late") + asked("failed"), Waiting: int64(r.questions)}}
}

// keptAccounts are of what is kept until it is done: jobs, moves, outbox rows.
func (r reading) keptAccounts() (all []xray.Account) {
	for i, class := range []struct{ name, stream string }{{"settlement", SettlementStream}, {"alert", SOSStream}} {
		runs := func(outcome string) int64 {
			return r.values.sum("ridehail_job_runs_total", "stream", class.stream, "outcome", outcome)
		}
		all = append(all, xray.Account{Mechanism: string(tracing.Queue), Class: class.name, Delivered: runs("done"), Recovered: runs("done_later"),
			Repeated: runs("failed"), Lost: runs("dead"), Waiting: r.probe.jobs[i]})
	}

	moves := func(outcome string) int64 { return r.values.sum("ridehail_store_moves_total", "outcome", outcome) }
	rows := r.relayed()
	rows.Mechanism, rows.Class, rows.Waiting = string(tracing.Database), "outbox_row", int64(r.probe.backlog)
	return append(all, xray.Account{Mechanism: string(tracing.Database), Class: "move", Delivered: moves("committed"), Repeated: moves("repeated"),
		Overwritten: moves("overtaken"), Lost: moves("refused") + moves("failed"),
		Waiting: r.values.sum("ridehail_store_moves_under_way")}, rows)
}

// metricValues are the values of counters and gauges, by the metric's name.
type metricValues map[string][]metricValue

type metricValue struct {
	labels map[string]string
	value  float64
}

// readMetrics reads all counters and gauges.
func readMetrics(from prometheus.Gatherer) metricValues {
	families, _ := from.Gather() // a metric that cannot be read is missing
	all := metricValues{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			v := metricValue{labels: map[string]string{}, value: m.GetCounter().GetValue() + m.GetGauge().GetValue()}
			for _, l := range m.GetLabel() {
				v.labels[l.GetName()] = l.GetValue()
			}
			all[f.GetName()] = append(all[f.GetName()], v)
		}
	}
	return all
}

// sum adds up the values of a metric whose labels have these names and values.
// It is 0 for one that was never counted.
func (m metricValues) sum(name string, labels ...string) int64 {
	var total float64
values:
	for _, v := range m[name] {
		for i := 0; i < len(labels); i += 2 {
			if v.labels[labels[i]] != labels[i+1] {
				continue values
			}
		}
		total += v.value
	}
	return int64(total)
}
