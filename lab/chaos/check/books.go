package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// payment is one line of the provider's ledger, as far as it matters here.
type payment struct {
	ID        int64  `json:"id"`
	Kind      string `json:"kind"` // "" for a charge
	Reference string `json:"reference"`
	Status    string `json:"status"`
	Amount    int64  `json:"amount"` // minor units
	Currency  string `json:"currency"`
}

func (p payment) money() trips.Money { return trips.Money{Minor: p.Amount, Currency: p.Currency} }

// refundLine is the kind of a refund's line.
const refundLine = "refund"

// books holds the provider's ledger against the trips and their charges.
type books struct {
	store *store
	lines int
	taken map[string][]payment // by reference; only what succeeded
	known map[string]bool      // references of trips
	// by the charge's reference; only what was given back
	back map[string][]payment

	once, none, same, sums, given, ended, kept *invariant
}

func newBooks(db *store) *books {
	return &books{store: db, taken: map[string][]payment{}, known: map[string]bool{},
		back:  map[string][]payment{},
		once:  named("the provider took each completed trip's quoted fare once"),
		none:  named("the provider took nothing else"),
		same:  named("each charge is a payment in the provider's ledger"),
		sums:  named("ledger, charges and quoted fares have the same sum"),
		given: named("each refund that was done is in the provider's ledger once, and one that failed is not"),
		ended: named("each refund comes to an end"),
		kept:  named("the provider gave back only what it took and was asked for")}
}

func (b *books) invariants() []*invariant {
	return []*invariant{b.once, b.none, b.same, b.sums, b.given, b.ended, b.kept}
}

// judge reads the ledger at path, if there is one, and judges.
func (b *books) judge(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	if err := b.read(f); err != nil {
		return err
	}
	fares, charged, taken := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, id := range slices.Sorted(maps.Keys(b.store.events)) {
		t, _ := b.store.stands(id)
		b.trip(t)
		if t.State == trips.Completed {
			fares[t.Quote.Fare.Currency] += t.Quote.Fare.Minor
		}
	}

	for _, id := range slices.Sorted(maps.Keys(b.store.charges)) {
		c := b.store.charges[id]
		b.charge(c)
		charged[c.Amount.Currency] += c.Amount.Minor
	}

	for _, reference := range slices.Sorted(maps.Keys(b.taken)) {
		b.none.check(b.known[reference], "no trip explains %s: the provider took %v", reference, b.taken[reference])
		for _, p := range b.taken[reference] {
			taken[p.Currency] += p.Amount
		}
	}
	b.refunds()

	for _, currency := range currencies(fares, charged, taken) {
		f, c, t := fares[currency], charged[currency], taken[currency]
		b.sums.check(f == c && c == t, "%s: %d in fares of completed trips, %d in charges, %d in the ledger",
			currency, f, c, t)
	}
	return nil
}

func currencies(sums ...map[string]int64) []string {
	all := map[string]int64{}
	for _, s := range sums {
		maps.Copy(all, s)
	}
	return slices.Sorted(maps.Keys(all))
}

// read takes the ledger in. A last line torn by a kill was never confirmed to
// anyone.
func (b *books) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}

		b.lines++
		var p payment
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("line %d: %w", b.lines, err)
		}
		if p.Kind == "" && p.Status == "success" {
			b.taken[p.Reference] = append(b.taken[p.Reference], p)
		}
		if p.Kind == refundLine && p.Status == "processed" {
			b.back[p.Reference] = append(b.back[p.Reference], p)
		}
	}
}

// trip judges what was taken for a trip.
func (b *books) trip(t trips.Trip) {
	got := b.taken[payments.ChargeReference(t.ID)]
	b.known[payments.ChargeReference(t.ID)] = true
	if t.State != trips.Completed {
		b.none.check(len(got) == 0, "trip %s is %s: the provider took %v", t.ID, t.State, got)
		return
	}
	b.once.check(len(got) == 1 && got[0].money() == t.Quote.Fare, "trip %s of rider %s at %v: the provider took %v",
		t.ID, t.Rider, t.Quote.Fare, got)
}

func (b *books) charge(c payments.Charge) {
	for _, p := range b.taken[c.Reference] {
		if strconv.FormatInt(p.ID, 10) == c.ProviderID && p.money() == c.Amount {
			b.same.Checked++
			return
		}
	}

	b.same.check(false, "trip %s: charged %v as %s; the ledger has %v",
		c.Trip, c.Amount, c.ProviderID, b.taken[c.Reference])
}

// refunds holds what was given back against the refunds of the database. One
// whose answer was lost may have been done.
func (b *books) refunds() {
	for _, id := range slices.Sorted(maps.Keys(b.store.refunds)) {
		r := b.store.refunds[id]
		got := b.back[payments.ChargeReference(id)]
		ok := len(got) == 1 && got[0].money() == r.Amount && strconv.FormatInt(got[0].ID, 10) == r.ProviderID
		if r.State != payments.RefundDone {
			ok = len(got) == 0 || r.State == payments.RefundRequested && len(got) == 1
		}
		b.ended.check(r.State != payments.RefundRequested, "trip %s: the refund of %v was asked for at %v, and is %s", id, r.Amount,
			r.RequestedAt, r.State)
		b.given.check(ok, "trip %s: the refund of %v is %s, as %q; the ledger has %v", id, r.Amount, r.State, r.ProviderID, got)
	}

	for _, reference := range slices.Sorted(maps.Keys(b.back)) {
		asked, took, gave := false, int64(0), int64(0)
		for id := range b.store.refunds {
			asked = asked || payments.ChargeReference(id) == reference
		}
		for _, p := range b.taken[reference] {
			took += p.Amount
		}
		for _, p := range b.back[reference] {
			gave += p.Amount
		}
		b.kept.check(asked && gave <= took, "%s: took %v, gave back %v, asked: %v", reference, b.taken[reference],
			b.back[reference], asked)
	}
}
