package postgres

import (
	"testing"
	"time"
)

func TestTheServerCountsItsTransactions(t *testing.T) {
	s := openStore(t, createDatabase(t))
	before, err := s.CountTransactions(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	for late := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		// The server counts about once a second.
		after, err := s.CountTransactions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("it stands at %d", after)
		}
	}
}
