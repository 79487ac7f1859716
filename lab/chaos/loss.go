package chaos

import (
	"math/rand/v2"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// loss is what a line that loses packets looks like to who sits behind TCP:
// nothing is missing, but a chunk that was lost comes after the sender has
// waited for its ack in vain and sent it again, and everything behind it waits
// as well. The wait is the least that Linux knows, and doubles when the repeat
// is lost, too (RFC 6298). Faster ways to notice, such as three acks of the
// same byte, need more packets under way than our small frames make.
type loss struct {
	Percent int `json:"percent"` // of chunks; each is taken for one packet
}

const (
	lossName             = "loss"
	minRetransmitTimeout = 200 * time.Millisecond
	maxRetransmits       = 6 // then it gets through: by then 12.6 s have passed
)

func init() { toxics.Register(lossName, new(loss)) }

// GetBufferSize has chunks wait side by side, so that two losses cost no more
// than the later of them.
func (l *loss) GetBufferSize() int { return 1024 }

// retransmitDelay is how much later than sent a chunk arrives.
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
			case <-stub.Interrupt: // the line is whole again
				late.Stop()
				stub.Output <- c
				return
			}
		}
	}
}
