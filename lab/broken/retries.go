package broken

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/internal/sleep"
)

// RetryAtOnce makes a call, and repeats it at once up to retries times while it
// fails. Broken: the worse the service does, the more it is asked. A service
// that only stood still for a moment may so stay busy with repetitions for
// ever. The app's way is a payments.Budget.
func RetryAtOnce(ctx context.Context, retries int, call func(context.Context) error) error {
	err := call(ctx)
	for try := 0; err != nil && try < retries && ctx.Err() == nil; try++ {
		err = call(ctx)
	}
	return err
}

// RetryWithBackoff is RetryAtOnce with a wait before each repetition: pick
// chooses one (jitter) up to a bound that begins at first and doubles. Still
// broken: the repetitions come later, and they are as many.
func RetryWithBackoff(ctx context.Context, retries int, first time.Duration, pick func(most time.Duration) time.Duration,
	call func(context.Context) error) error {
	err := call(ctx)
	for try := 0; err != nil && try < retries; try++ {
		if !sleep.For(ctx, pick(first<<min(try, 6))) {
			break
		}
		err = call(ctx)
	}
	return err
}
