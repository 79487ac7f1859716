package accrual_test

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/lab/accrual"
)

// One silence of three seconds after a minute of regular heartbeats, as a fixed
// timeout and phi-accrual see it.
func ExampleDetector() {
	at := time.Unix(0, 0)
	fixed := new(accrual.Fixed)
	phi := accrual.NewPhi(accrual.AkkaOptions(3 * time.Second))
	for range 60 {
		at = at.Add(time.Second)
		fixed.RecordHeartbeat(at)
		phi.RecordHeartbeat(at)
	}

	silent := at.Add(3 * time.Second)
	fmt.Printf("silent for 3 s: fixed %.1f, phi %.1f\n", fixed.Suspicion(silent), phi.Suspicion(silent))
	fmt.Printf("dead after: fixed %v, phi %v\n", fixed.ReachesAt(5).Sub(at),
		phi.ReachesAt(accrual.AkkaThreshold).Sub(at).Round(100*time.Millisecond))

	// Output:
	// silent for 3 s: fixed 3.0, phi 0.0
	// dead after: fixed 5s, phi 4.5s
}
