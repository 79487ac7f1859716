package chaos

import (
	"math/rand/v2"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// loss makes a line lose packets as TCP shows it: nothing is missing, but a
// lost chunk arrives after the sender has waited for its ack and sent it again,
// and everything behind it waits as well. The wait is Linux's minimum, and
// doubles when the retransmission is lost as well (RFC 6298). Faster recovery,
// such as three duplicate acks, needs more packets under way than our small
// frames make.
type loss struct {
	// Percent is of chunks, each of which counts as one packet.
	Percent int `json:"percent"`
}

const (
	lossName             = "loss"
	minRetransmitTimeout = 200 * time.Millisecond
	maxRetransmits       = 6 // then it gets through, after 12.6 s
)

func init() { toxics.Register(lossName, new(loss)) }

// GetBufferSize lets chunks wait side by side, so that two losses cost no more
// than the later of them.
func (l *loss) GetBufferSize() int { return 1024 }

// retransmitDelay returns how long a chunk is delayed.
func (l *loss) retransmitDelay(lost func(percent int) bool) (d time.Duration) {
	wait := minRetransmitTimeout
	for range maxRetransmits {
		if !lost(l.Percent) {
			break
		}
		d += wait
		wait *= 2
	}
	return d
}

// Pipe passes everything on, in order.
func (l *loss) Pipe(stub *toxics.ToxicStub) {
	chance := func(percent int) bool { return rand.IntN(100) < percent }
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			late := time.NewTimer(time.Until(c.Timestamp.Add(l.retransmitDelay(chance))))
			select {
			case <-late.C:
				stub.Output <- c
			case <-stub.Interrupt: // the fault is removed
				late.Stop()
				stub.Output <- c
				return
			}
		}
	}
}
