package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/ridehail/ridehail/migrations"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// TestAFileFromBeforeRefundsKeepsWhatItHolds has a trip that was paid under the
// first schema and is given back under the newest.
func TestAFileFromBeforeRefundsKeepsWhatItHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.db")
	db := openRaw(t, path)
	mustExec(t, db, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	old, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}

	mustExec(t, db, `INSERT INTO trips (id, version, state, rider, driver, region, requested_at, ended_at, charged)
		VALUES ('t', 5, 'completed', 'ada', 'chidi', 'here', 1, 2, 1)`)
	mustExec(t, db, `INSERT INTO charges (trip_id, rider, reference, minor, currency, provider_id, at)
		VALUES ('t', 'ada', 'trip-t', 123400, 'NGN', '7', 1000000)`)
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	want := payments.Charge{Trip: "t", Rider: "ada", Reference: "trip-t", ProviderID: "7", At: time.Unix(1, 0).UTC(),
		Amount: trips.Money{Minor: 123_400, Currency: "NGN"}}
	if c, err := s.Charge(t.Context(), "t"); err != nil || c != want {
		t.Errorf("charge %+v, %v", c, err)
	}
	if _, err := s.RequestRefund(t.Context(), "t", "by mistake", time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}

	r, err := s.FinishRefund(t.Context(), "t", payments.RefundDone, "8", time.Unix(3, 0))
	if err != nil || r.State != payments.RefundDone || r.Amount != want.Amount {
		t.Errorf("refund %+v, %v", r, err)
	}
}
