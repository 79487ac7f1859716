package broken

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ridehail/ridehail/payments"
)

// ChargeThenComplete ends a ride only when the provider has answered. Broken:
// the driver waits as long as the provider, a dead one lets no ride end, and
// after a lost answer the rider has paid for a ride that was refused.
func ChargeThenComplete(ctx context.Context, charge func(context.Context) (payments.Payment, error),
	complete func(context.Context, payments.Payment) error) error {
	paid, err := charge(ctx)
	if err != nil {
		return fmt.Errorf("the ride cannot end: %w", err)
	}
	return complete(ctx, paid)
}

// ReferencePerTry is a provider whose charges carry a new reference each time.
// Broken: the provider takes the money once per reference, so after a lost
// answer the next try takes it again. No try can ask what became of an earlier
// one.
type ReferencePerTry struct {
	payments.Provider
	tries atomic.Int64
}

// Charge takes the money under a reference that no other try has.
func (p *ReferencePerTry) Charge(ctx context.Context, o payments.ChargeOrder) (payments.Payment, error) {
	o.Reference += fmt.Sprintf("-try-%d", p.tries.Add(1))
	return p.Provider.Charge(ctx, o)
}

// VerifyCharge knows nothing of the references of earlier tries.
func (p *ReferencePerTry) VerifyCharge(context.Context, string) (payments.Payment, error) {
	return payments.Payment{}, payments.ErrUnknownReference
}

// AckFirst returns a handler of jobs that acknowledges a job before it is done:
// the worker deletes a job as soon as its handler returns. Broken: a job that
// fails, or whose process stops, is gone. Work goes on in running, until ctx
// ends.
func AckFirst(ctx context.Context, running *sync.WaitGroup, handle func(ctx context.Context, jobID string, payload []byte) error,
) func(context.Context, string, []byte) error {
	return func(_ context.Context, jobID string, payload []byte) error {
		running.Go(func() {
			_ = handle(ctx, jobID, payload) // there is nothing left to give the error to
		})
		return nil
	}
}
