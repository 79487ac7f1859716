package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/simulators/intruder"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/store/postgres"
	"github.com/ridehail/ridehail/trips"
)

const (
	publishTargetsEvery = time.Second
	maxTargets          = 50
)

// startIntruder starts the process that attacks all nodes, and publishes the
// trips under way as its targets.
func (c *city) startIntruder() (err error) {
	db, err := postgres.Open(c.runCtx, c.databaseURL, postgres.Options{MaxConns: 1})
	if err != nil {
		return err
	}

	c.supervisors.Go(func() error {
		defer db.Close()
		return c.publishTargets(db)
	})

	var doors []string
	for _, n := range c.nodes {
		// Past the proxies: a flood that waits in a proxy would keep its line
		// from being broken.
		doors = append(doors, "http://"+n.directAddress)
	}

	w := new(clientProcess)
	w.Process, err = process.Start(process.Command{Name: "intruder", Path: c.cfg.Program, Dir: c.dir, Out: &w.out,
		Args: []string{"intruder", "--json", "--server", strings.Join(doors, ","), "--targets", c.targetsPath(),
			"--journal", c.journalPath("intruder"), "--seed", strconv.FormatUint(c.cfg.Seed, 10)}}, c.guard)
	if err == nil {
		c.intruder = w
	}

	return err
}

func (c *city) targetsPath() string { return c.dir + "/targets.jsonl" }

// publishTargets writes a list of the trips under way, read past all proxies,
// until the city ends.
func (c *city) publishTargets(db *postgres.Store) error {
	for sleep.For(c.runCtx, publishTargetsEvery) {
		under, err := db.TripsWithDriver(c.runCtx)
		if err != nil {
			continue // the database is down; the last list stays
		}

		var list bytes.Buffer
		lines := json.NewEncoder(&list)
		for _, t := range under[:min(len(under), maxTargets)] {
			if err := lines.Encode(intruder.Target{Trip: string(t.ID), Rider: string(t.Rider), Driver: string(t.Driver)}); err != nil {
				return err
			}
		}

		if err := os.WriteFile(c.targetsPath()+".new", list.Bytes(), 0o644); err != nil {
			return err
		}
		if err := os.Rename(c.targetsPath()+".new", c.targetsPath()); err != nil {
			return err
		}
	}

	return nil
}

// checkIntruder checks that nothing got through to the intruder, by its own
// report and by the database.
func (c *city) checkIntruder(ctx context.Context, db auditStore) (Invariant, error) {
	out := Invariant{Name: "an intruder did nothing and learned nothing of others"}
	var r intruder.Report
	if err := json.Unmarshal(c.intruder.out.Bytes(), &r); err != nil {
		return out, fmt.Errorf("what the intruder got: %w; see its log in %s", err, c.dir)
	}

	out.Checked = r.Tried
	for _, row := range r.Rows {
		out.check(false, "%s", row)
	}
	out.Violations = max(out.Violations, r.Accepted)
	return out, checkIntruderTraces(ctx, db, &out)
}

// auditStore reads what all clients did.
type auditStore interface {
	AuditEvents(ctx context.Context, yield func(seq uint32, ev trips.Event) error) error
	AuditChat(ctx context.Context, yield func(chat.Message) error) error
	AuditAlerts(ctx context.Context, yield func(sos.Alert) error) error
}

// checkIntruderTraces checks that nothing in the database bears the intruder's
// name.
func checkIntruderTraces(ctx context.Context, db auditStore, out *Invariant) error {
	its := func(who trips.Actor) bool { return who.ID == intruder.Rider || who.ID == intruder.Driver }
	err := db.AuditEvents(ctx, func(_ uint32, ev trips.Event) error {
		out.check(!its(ev.By) && ev.Trip.Rider != intruder.Rider && ev.Trip.Driver != intruder.Driver,
			"trip %s: %s by %v", ev.Trip.ID, ev.Kind, ev.By)
		return nil
	})
	if err != nil {
		return err
	}

	if err := db.AuditChat(ctx, func(m chat.Message) error {
		out.check(!its(m.From) && m.Text != intruder.Text, "trip %s: message %d by %v: %q", m.Trip, m.Seq, m.From, m.Text)
		return nil
	}); err != nil {
		return err
	}

	return db.AuditAlerts(ctx, func(a sos.Alert) error {
		out.check(!its(a.From) && a.Text != intruder.Text, "trip %s: a call for help by %v: %q", a.Trip, a.From, a.Text)
		return nil
	})
}
