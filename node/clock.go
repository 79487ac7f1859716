package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/internal/clock"
	"github.com/ridehail/ridehail/store"
)

// maxClockOffset is how much this machine's clock may differ from the
// database's without a word.
const maxClockOffset = time.Second

// setClock sets the node's clock by a database that others use as well. One in
// a file is on this machine.
func (n *Node) setClock(ctx context.Context, db store.Store) error {
	source, shared := db.(clock.Source)
	if !shared {
		return nil
	}
	if err := n.clock.Sync(ctx, source); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if off := n.clock.Offset(); off.Abs() > maxClockOffset {
		n.log.Warn("this machine's clock is wrong, or the database's is: the node goes by the database's", "off", -off)
	}
	n.timeSource = source
	return nil
}
