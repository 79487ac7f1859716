package node

import (
	"net/http"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/tracing"
)

// newWebhook handles the payment provider's events; nil without a provider.
func (n *Node) newWebhook() http.Handler {
	if n.cfg.Provider == "" {
		return nil
	}
	return payments.NewWebhook(payments.Webhook{Secret: n.cfg.ProviderSecret, Charges: n.db, Refunds: n.db, Queue: n.redis,
		Stream: SettlementStream, Now: n.clock.Now, Log: n.log}, n.registry)
}

// startSettlement runs the settlement of completed trips, if there is a
// provider: a worker that takes them from the stream, and a reconciler that
// finds in the database what the stream has lost.
func (n *Node) startSettlement(p *parts) {
	if n.cfg.Provider == "" {
		n.log.Warn("completed trips wait unpaid: name a payment provider with --provider (try: ridehail payments)")
		return
	}

	settler := payments.NewSettler(n.db, n.cfg.Provider, n.cfg.ProviderSecret, n.clock.Now)
	settler.Budget, settler.Tracer = new(payments.Budget), n.tracer
	settler.Provider = payments.CountCalls(&payments.HTTPProvider{URL: n.cfg.Provider, Secret: n.cfg.ProviderSecret,
		Client: &http.Client{Transport: n.tracer.Transport(http.DefaultTransport)}}, n.registry)

	lost := make(chan struct{}, 1)
	worker := &events.Worker{Redis: n.redis, Stream: SettlementStream, Consumer: n.cfg.Name, Handle: settler.HandleJob, Phase: tracing.Charge,
		OnQueueLost: func() {
			select {
			case lost <- struct{}{}:
			default: // the reconciler will look anyway
			}
		},
		OnDeadLetter: func(j events.Job, err error) {
			n.log.Error("a settlement was given up and left as a dead letter", "trip", j.ID, "err", err)
		}}

	p.startPart("settlement", worker.Run)
	p.startPart("reconciler", (&payments.Reconciler{Charges: n.db, Refunds: n.db, Queue: n.redis, Stream: SettlementStream,
		QueueLost: lost, Budget: settler.Budget, Now: n.clock.Now, Log: n.log}).Run)
}

// startSOS runs what brings calls for help to the operators.
func (n *Node) startSOS(p *parts) {
	watch := sos.NewNotifier(sos.NotifierConfig{Store: n.db, Queue: n.redis, Stream: SOSStream, Registerer: n.registry,
		Now: n.clock.Now, Log: n.log})
	worker := &events.Worker{Redis: n.redis, Stream: SOSStream, Consumer: n.cfg.Name, Handle: watch.HandleJob,
		OnDeadLetter: func(j events.Job, err error) {
			n.log.Error("a call for help was given up and left as a dead letter; it is on the operators' page all the same",
				"trip", j.ID, "err", err)
		}}

	p.startPart("alerts", worker.Run)
	p.startPart("watch over alerts", watch.Run)
}
