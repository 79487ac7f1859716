package overlay

import "slices"

// Bug is one that a lesson shows. Its code asks whether it is the chosen one,
// so that one program can hold all of them.
type Bug struct {
	Name    string
	Changes []Change
}

// Bugs returns the bugs of the lessons. Package planted says what they teach.
func Bugs() []Bug {
	return []Bug{
		{"ack-before-commit", []Change{{"store/sqlite/trips.go", []string{
			"	return writeTraced(ctx, s.database, hop, func(tx *statements) (trips.Event, error) {\n		was",
			"	return ackBeforeCommit(ctx, s.database, hop, ev, func(tx *statements) (trips.Event, error) {\n		was",
			"// updateTripRow writes", `// ackBeforeCommit answers at once, and commits afterwards.
func ackBeforeCommit(ctx context.Context, db *database, hop *jobHop, ev trips.Event, do func(*statements) (trips.Event, error)) (trips.Event, error) {
	if !chosen.Is("ack-before-commit") {
		return writeTraced(ctx, db, hop, do)
	}
	go writeTraced(context.WithoutCancel(ctx), db, hop, do)
	return ev, nil
}

// updateTripRow writes`}}}},
		{"no-unique-index", []Change{{"store/sqlite/migrate.go", []string{
			"	return retryMigrations(ctx, p, path)\n", `	if err := retryMigrations(ctx, p, path); err != nil || !chosen.Is("no-unique-index") {
		return err
	}
	_, err = db.ExecContext(ctx, "DROP INDEX IF EXISTS trips_one_per_driver")
	return err
`}}}},
		{"xack-before-effect", []Change{{"events/worker.go", []string{
			"	err := w.callHandler(ctx, j)\n", `	if chosen.Is("xack-before-effect") {
		w.completeJob(ctx, j)
	}
	err := w.callHandler(ctx, j)
`}}}},
		{"new-reference-per-try", []Change{{"payments/settle.go", []string{
			"		p, err = s.verifyOrCharge(ctx, o, doubt, hops)\n", `		order := o
		if try > 0 && chosen.Is("new-reference-per-try") {
			order.Reference += fmt.Sprint("-try", try+1)
		}
		p, err = s.verifyOrCharge(ctx, order, doubt, hops)
`}}}},
		{"outbox-by-id", []Change{{"store/postgres/outbox.go", []string{
			`"read the outbox", scanOutboxMessage, pendingSQL, shards, limit)`, `"read the outbox", scanOutboxMessage, chosenSQL(), shards, limit)`,
			"// AdvanceCursor moves", `// chosenSQL reads by id alone.
func chosenSQL() string {
	if !chosen.Is("outbox-by-id") {
		return pendingSQL
	}
	return ` + "`" + `
SELECT o.shard, o.xid, o.id, o.topic, o.region, o.kind, o.trip_id, o.payload, o.at, '', ''
FROM outbox o JOIN relay_shards s ON s.shard = o.shard
WHERE o.shard = ANY ($1::int[]) AND o.id > s.cursor_id
ORDER BY o.id
LIMIT $2` + "`" + `
}

// AdvanceCursor moves`}}}},
	}
}

// AllChanges returns the changes of all bugs, for one program that holds them
// all.
func AllChanges() (all []Change) {
	for _, b := range Bugs() {
		all = append(all, b.Changes...)
	}
	return all
}

// ChangesOf returns the changes of one bug; none for an unknown name.
func ChangesOf(name string) []Change {
	i := slices.IndexFunc(Bugs(), func(b Bug) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return Bugs()[i].Changes
}
