package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/ridehail/ridehail/migrations"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/trips"
)

// TestADatabaseFromBeforeRefundsKeepsWhatItHolds has a trip that was paid under
// the first schema and is given back under the newest.
func TestADatabaseFromBeforeRefundsKeepsWhatItHolds(t *testing.T) {
	name, at := createBareDatabase(t, "template0")
	dropAfterTest(t, name)
	cfg, err := pgx.ParseConfig(at)
	if err != nil {
		t.Fatal(err)
	}

	db := stdlib.OpenDB(*cfg)
	old, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}

	for _, sql := range []string{`INSERT INTO trips (id, version, state, rider, driver, region, requested_at, ended_at, charged)
		VALUES ('t', 5, 'completed', 'ada', 'chidi', 'here', now(), now(), true)`,
		`INSERT INTO charges (trip_id, rider, reference, minor, currency, provider_id, at)
		VALUES ('t', 'ada', 'trip-t', 123400, 'NGN', '7', to_timestamp(1))`} {
		if _, err := db.ExecContext(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}

	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), at); err != nil {
		t.Fatal(err)
	}

	s := openStore(t, at)
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
