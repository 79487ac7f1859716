package xray

import (
	"fmt"
	"slices"
	"strings"
)

// columns are what becomes of a message, each with its name.
func (a *Account) columns() []struct {
	name  string
	count *int64
} {
	return []struct {
		name  string
		count *int64
	}{{"delivered", &a.Delivered}, {"recovered", &a.Recovered}, {"repeated", &a.Repeated}, {"overwritten", &a.Overwritten},
		{"lost", &a.Lost}, {"waiting", &a.Waiting}}
}

// AddUp sets Sent to the sum of what became of the messages.
func (a *Account) AddUp() {
	a.Sent = 0
	for _, c := range a.columns() {
		a.Sent += *c.count
	}
}

// Text writes the account as a sum, such as "12 sent = 9 delivered + 3 lost".
// What is zero is left out.
func (a Account) Text() string {
	var parts []string
	for _, c := range a.columns() {
		if *c.count != 0 {
			parts = append(parts, fmt.Sprint(*c.count, " ", c.name))
		}
	}
	if len(parts) == 0 {
		return "0 sent"
	}
	return fmt.Sprintf("%d sent = %s", a.Sent, strings.Join(parts, " + "))
}

// SumByMechanism adds the classes of each mechanism up, in the order in which
// the mechanisms come first. The sums have no class.
func SumByMechanism(ledger []Account) (sums []Account) {
	for _, a := range ledger {
		i := slices.IndexFunc(sums, func(s Account) bool { return s.Mechanism == a.Mechanism })
		if i < 0 {
			i, sums = len(sums), append(sums, Account{Mechanism: a.Mechanism})
		}
		for j, c := range sums[i].columns() {
			*c.count += *a.columns()[j].count
		}
		sums[i].AddUp()
	}
	return sums
}
