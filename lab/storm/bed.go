package storm

import (
	"context"
	"errors"
	"fmt"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/lab/scratch"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/store"
)

// bed is a node in this process with a database of this run.
type bed struct {
	node     *scratch.Node
	database *scratch.Database
	meter    *statementMeter
	redis    string // where it is
}

// openBed starts a node and returns when it serves.
func openBed(ctx context.Context, run *finding.Run) (b *bed, err error) {
	b = &bed{meter: new(statementMeter), redis: "embedded"}
	if run.Redis != "" {
		b.redis = "as --redis says"
	}
	if b.database, err = scratch.Create(ctx, run.Database); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()

	address := b.database.URL
	if store.IsPostgres(address) {
		if address, err = b.meter.interposeLine(address); err != nil {
			return b, err
		}
	}

	// The phones' cars cross the city from one position to the next.
	b.node, err = scratch.StartNode(ctx, node.Config{Name: "lab-storm", Database: address, Redis: run.Redis, Speed: 1000})
	return b, err
}

// close ends the node, then removes its database.
func (b *bed) close() (err error) {
	if b.node != nil {
		err = b.node.Close()
	}
	b.meter.close()
	return errors.Join(err, b.database.Close())
}

// listParts says what ran.
func (b *bed) listParts(f figures) []finding.Part {
	tries := 0
	for _, c := range f.Cuts {
		tries += sum(c.Tries)
	}
	return []finding.Part{{Name: "node", Where: b.node.PublicURL(), Count: fmt.Sprintf("%d tries to connect", tries)}, b.database.Part,
		{Name: "Redis", Where: b.redis}}
}
