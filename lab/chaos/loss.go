package chaos

import (
	"math/rand/v2"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/ridehail/ridehail/lab/line"
)

// loss makes a line lose packets as TCP shows it (line.RetransmitDelay). The
// lines of a chaos run are toxiproxy's, which can also be cut, reset and
// swallowed in the middle of a connection.
type loss struct {
	// Percent is of chunks, each of which counts as one packet.
	Percent int `json:"percent"`
}

const lossName = "loss"

func init() { toxics.Register(lossName, new(loss)) }

// GetBufferSize lets chunks wait side by side, so that two losses cost no more
// than the later of them.
func (l *loss) GetBufferSize() int { return 1024 }

// Pipe passes everything on, in order.
func (l *loss) Pipe(stub *toxics.ToxicStub) {
	isLost := func() bool { return rand.IntN(100) < l.Percent }
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			delay, _ := line.RetransmitDelay(0, isLost)
			late := time.NewTimer(time.Until(c.Timestamp.Add(delay)))
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
