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

// payment is the checked part of one line of the provider's ledger.
type payment struct {
	ID        int64  `json:"id"`
	Kind      string `json:"kind"` // "" for a charge
	Reference string `json:"reference"`
	Status    string `json:"status"`
	Amount    int64  `json:"amount"` // minor units
	Currency  string `json:"currency"`
}

func (p payment) money() trips.Money { return trips.Money{Minor: p.Amount, Currency: p.Currency} }

// refundKind is the kind of a refund's line.
const refundKind = "refund"

// paymentCheck compares the provider's ledger with the trips, their charges and
// refunds.
type paymentCheck struct {
	store          *store
	lines          int
	charged        map[string][]payment // those that succeeded, by reference
	tripReferences map[string]bool
	// refunded has those that succeeded, by the charge's reference.
	refunded map[string][]payment

	fareTakenOnce, nothingElseTaken, chargeInLedger, sumsAgree, refundInLedger, refundEnds, refundAsked *invariant
}

func newPaymentCheck(db *store) *paymentCheck {
	return &paymentCheck{store: db, charged: map[string][]payment{}, tripReferences: map[string]bool{},
		refunded:         map[string][]payment{},
		fareTakenOnce:    newInvariant("the provider took each completed trip's quoted fare once"),
		nothingElseTaken: newInvariant("the provider took nothing else"),
		chargeInLedger:   newInvariant("each charge is a payment in the provider's ledger"),
		sumsAgree:        newInvariant("ledger, charges and quoted fares have the same sum"),
		refundInLedger:   newInvariant("each refund that was done is in the provider's ledger once, and one that failed is not"),
		refundEnds:       newInvariant("each refund comes to an end"),
		refundAsked:      newInvariant("the provider gave back only what it took and was asked for")}
}

func (b *paymentCheck) invariants() []*invariant {
	return []*invariant{b.fareTakenOnce, b.nothingElseTaken, b.chargeInLedger, b.sumsAgree, b.refundInLedger, b.refundEnds, b.refundAsked}
}

// checkLedger reads the ledger at path, if there is one, and checks it.
func (b *paymentCheck) checkLedger(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	if err := b.readLedger(f); err != nil {
		return err
	}
	fares, charged, taken := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, id := range slices.Sorted(maps.Keys(b.store.events)) {
		t, _ := b.store.latestTrip(id)
		b.checkTrip(t)
		if t.State == trips.Completed {
			fares[t.Quote.Fare.Currency] += t.Quote.Fare.Minor
		}
	}

	for _, id := range slices.Sorted(maps.Keys(b.store.charges)) {
		c := b.store.charges[id]
		b.checkCharge(c)
		charged[c.Amount.Currency] += c.Amount.Minor
	}

	for _, reference := range slices.Sorted(maps.Keys(b.charged)) {
		b.nothingElseTaken.check(b.tripReferences[reference], "no trip explains %s: the provider took %v", reference, b.charged[reference])
		for _, p := range b.charged[reference] {
			taken[p.Currency] += p.Amount
		}
	}
	b.checkRefunds()

	for _, currency := range listCurrencies(fares, charged, taken) {
		f, c, t := fares[currency], charged[currency], taken[currency]
		b.sumsAgree.check(f == c && c == t, "%s: %d in fares of completed trips, %d in charges, %d in the ledger",
			currency, f, c, t)
	}
	return nil
}

func listCurrencies(sums ...map[string]int64) []string {
	all := map[string]int64{}
	for _, s := range sums {
		maps.Copy(all, s)
	}
	return slices.Sorted(maps.Keys(all))
}

// readLedger skips a last line that was truncated by a kill. It was never
// confirmed.
func (b *paymentCheck) readLedger(from io.Reader) error {
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
			b.charged[p.Reference] = append(b.charged[p.Reference], p)
		}
		if p.Kind == refundKind && p.Status == "processed" {
			b.refunded[p.Reference] = append(b.refunded[p.Reference], p)
		}
	}
}

// checkTrip checks what was taken for a trip.
func (b *paymentCheck) checkTrip(t trips.Trip) {
	got := b.charged[payments.ChargeReference(t.ID)]
	b.tripReferences[payments.ChargeReference(t.ID)] = true
	if t.State != trips.Completed {
		b.nothingElseTaken.check(len(got) == 0, "trip %s is %s: the provider took %v", t.ID, t.State, got)
		return
	}
	b.fareTakenOnce.check(len(got) == 1 && got[0].money() == t.Quote.Fare, "trip %s of rider %s at %v: the provider took %v",
		t.ID, t.Rider, t.Quote.Fare, got)
}

func (b *paymentCheck) checkCharge(c payments.Charge) {
	for _, p := range b.charged[c.Reference] {
		if strconv.FormatInt(p.ID, 10) == c.ProviderID && p.money() == c.Amount {
			b.chargeInLedger.Checked++
			return
		}
	}

	b.chargeInLedger.check(false, "trip %s: charged %v as %s; the ledger has %v",
		c.Trip, c.Amount, c.ProviderID, b.charged[c.Reference])
}

// checkRefunds compares refunds in the ledger with those in the database. A
// refund whose answer was lost may have been done.
func (b *paymentCheck) checkRefunds() {
	for _, id := range slices.Sorted(maps.Keys(b.store.refunds)) {
		r := b.store.refunds[id]
		got := b.refunded[payments.ChargeReference(id)]
		ok := len(got) == 1 && got[0].money() == r.Amount && strconv.FormatInt(got[0].ID, 10) == r.ProviderID
		if r.State != payments.RefundDone {
			ok = len(got) == 0 || r.State == payments.RefundRequested && len(got) == 1
		}
		b.refundEnds.check(r.State != payments.RefundRequested, "trip %s: the refund of %v was asked for at %v, and is %s", id, r.Amount,
			r.RequestedAt, r.State)
		b.refundInLedger.check(ok, "trip %s: the refund of %v is %s, as %q; the ledger has %v", id, r.Amount, r.State, r.ProviderID, got)
	}

	for _, reference := range slices.Sorted(maps.Keys(b.refunded)) {
		asked, took, gave := false, int64(0), int64(0)
		for id := range b.store.refunds {
			asked = asked || payments.ChargeReference(id) == reference
		}
		for _, p := range b.charged[reference] {
			took += p.Amount
		}
		for _, p := range b.refunded[reference] {
			gave += p.Amount
		}
		b.refundAsked.check(asked && gave <= took, "%s: took %v, gave back %v, asked: %v", reference, b.charged[reference],
			b.refunded[reference], asked)
	}
}
