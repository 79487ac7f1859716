package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/trips"
)

func TestARevocationIsForgottenWhenEveryTokenItMeansHasExpired(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := new(Revocations)
	r.addRevocation(revocation{Token: "x", Until: now.Add(time.Hour)})
	r.addRevocation(revocation{Role: trips.RoleRider, ID: "r", At: now, Until: now.Add(time.Hour)})
	if n := len(r.listValid(now)); n != 2 {
		t.Errorf("%d are known", n)
	}
	if n := len(r.listValid(now.Add(2 * time.Hour))); n != 0 || len(r.tokens)+len(r.users) != 0 {
		t.Errorf("%d are known after their time", n)
	}

	a := newTestTokens(t, func() time.Time { return now })
	if _, err := a.Issue(trips.RoleRider, "r", maxLifetime+time.Second); err == nil {
		t.Error("a token was issued that outlives its revocation")
	}
}

func TestTheSecondOfARevocationIsRevokedAndTheNextIsNot(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newTestTokens(t, func() time.Time { return now })
	old, other := issueToken(t, a, trips.RoleRider, "r"), issueToken(t, a, trips.RoleDriver, "r")
	told := 0
	a.revoked.OnRevoked = func() { told++ }

	if err := a.revoked.RevokeUser(t.Context(), trips.Rider("r")); err != nil || told != 1 {
		t.Fatalf("%v, told %d times", err, told)
	}
	if _, err := a.Verify(old); !errors.Is(err, ErrRevoked) || !errors.Is(err, ErrToken) {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := a.Verify(other); err != nil {
		t.Errorf("another actor with the same id: %v", err)
	}

	now = now.Add(time.Second)
	if _, err := a.Verify(issueToken(t, a, trips.RoleRider, "r")); err != nil {
		t.Errorf("a token issued a second later: %v", err)
	}
}

func TestANoticeIsAppliedOnceAndABadOneIsCounted(t *testing.T) {
	told, bad := 0, 0
	r := &Revocations{Log: slog.New(slog.DiscardHandler), OnRevoked: func() { told++ }, OnUnreadable: func(string, error) { bad++ }}
	for _, notice := range []string{`{"jti":"x"}`, `{"jti":"x"}`, `{"jti":7}`, ``} {
		r.ApplyNotice([]byte(notice))
	}
	if told != 1 || bad != 2 || !r.coversPass(Pass{ID: "x"}) || r.coversPass(Pass{}) {
		t.Errorf("told %d times of one revocation, and of %d of 2 bad notices", told, bad)
	}
}

// oneNotice is a keeper that holds one notice.
type oneNotice struct{ notice string }

func (k oneNotice) KeepNotice(context.Context, []byte, time.Time) error { return nil }
func (k oneNotice) PublishNotice(context.Context, []byte) error         { return nil }
func (k oneNotice) ListNotices(context.Context) ([][]byte, error) {
	return [][]byte{[]byte(k.notice)}, nil
}

func TestWhatIsKeptIsLearnedInTheFormItAlwaysHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Unix(1_700_000_000, 0).UTC()
		notice, _ := json.Marshal(map[string]any{"role": "rider", "id": "r", "at": at, "until": at.Add(maxLifetime)})
		r := &Revocations{Keeper: oneNotice{string(notice)}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = r.Run(ctx) }()
		synctest.Wait()
		if !r.coversPass(Pass{Who: trips.Rider("r"), Issued: at}) {
			t.Error("what is kept was not learned")
		}

		stop()
		synctest.Wait()
	})
}
