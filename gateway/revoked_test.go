package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// keeper is what several nodes keep revocations in, with a wire to each that
// may be cut.
type keeper struct {
	mu    sync.Mutex // guards below
	kept  map[string]time.Time
	nodes []*testNode
	down  error
	cut   bool // no node is told
}

func (k *keeper) KeepNotice(_ context.Context, notice []byte, until time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down == nil {
		k.kept[string(notice)] = until
	}
	return k.down
}

func (k *keeper) ListNotices(context.Context) (list [][]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for notice := range k.kept {
		list = append(list, []byte(notice))
	}
	return list, k.down
}

func (k *keeper) PublishNotice(_ context.Context, notice []byte) error {
	k.mu.Lock()
	nodes, down, cut := slices.Clone(k.nodes), k.down, k.cut
	k.mu.Unlock()

	if down != nil || cut {
		return down
	}
	for _, c := range nodes {
		c.revoked.ApplyNotice(notice)
	}

	return nil
}

func (k *keeper) changeUnder(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *keeper) holdsNotices(n int) func() bool {
	return func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.kept) == n
	}
}

// twoNodes have a keeper between them.
func twoNodes(t *testing.T) (k *keeper, a, b *testNode) {
	k = &keeper{kept: map[string]time.Time{}}
	both := func(cfg *httpapi.Config) { cfg.Revocations.Keeper = k }
	a, b = newTestNodeWith(t, nil, both), newTestNodeWith(t, nil, both)
	k.changeUnder(func() { k.nodes = []*testNode{a, b} })
	return k, a, b
}

// postRevocation asks a node's admin API.
func (c *testNode) postRevocation(body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", "/admin/revocations", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.api.Admin().ServeHTTP(w, req)
	return w
}

// listTripsStatus asks for a user's trips with a token and returns the status.
func (c *testNode) listTripsStatus(token string) int {
	req := httptest.NewRequest("GET", "/v1/trips", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	c.api.Public().ServeHTTP(w, req)
	return w.Code
}

func TestARevokedUserIsShutOutOfEveryNodeUntilTheyHaveANewToken(t *testing.T) {
	_, a, b := twoNodes(t)
	old := testToken(t, b.auth, trips.RoleRider, "r")
	here, there := a.connectPhone(trips.Rider("r"), asProto, nil), b.connectPhone(trips.Rider("r"), asJSONText, nil)

	// Another actor with the same id.
	calm := b.connectPhone(trips.Driver("r"), asProto, nil)
	if w := a.postRevocation(`{"role":"rider","id":"r"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}

	for name, p := range map[string]*phone{"the operator's node": here, "another node": there} {
		if code := p.awaitClose(); code != wire.CloseTokenEnded {
			t.Errorf("on %s the socket closed with %d", name, code)
		}
	}

	if status := b.listTripsStatus(old); status != http.StatusUnauthorized {
		t.Errorf("an old token is answered %d", status)
	}
	again := b.connectUnwelcomed(asProto, trips.Rider("r"))
	again.sendHello(nil) // with a token issued in the second of the revocation
	if code := again.awaitClose(); code != wire.CloseTokenEnded {
		t.Errorf("a hello with an old token closed with %d", code)
	}

	calm.awaitHandled()
	b.pass(time.Second)
	b.connectPhone(trips.Rider("r"), asProto, nil).awaitHandled()
}

func TestOneRevokedTokenLeavesTheUsersOthersAlone(t *testing.T) {
	_, a, b := twoNodes(t)
	stolen, kept := testToken(t, b.auth, trips.RoleRider, "r"), testToken(t, b.auth, trips.RoleRider, "r")

	p, err := b.auth.Verify(stolen)
	if err != nil {
		t.Fatal(err)
	}

	body, _ := json.Marshal(map[string]string{"jti": p.ID})
	if w := a.postRevocation(string(body)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got, other := b.listTripsStatus(stolen), b.listTripsStatus(kept); got != http.StatusUnauthorized || other != http.StatusOK {
		t.Errorf("the revoked token is answered %d, the other %d", got, other)
	}
}

func TestANodeThatHeardNothingLearnsWhatWasRevoked(t *testing.T) {
	k, a, b := twoNodes(t)
	k.changeUnder(func() { k.cut = true })
	p := b.connectPhone(trips.Driver("d"), asProto, nil)
	if w := a.postRevocation(`{"role":"driver","id":"d"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}

	p.awaitHandled()
	b.startRunning()
	if code := p.awaitClose(); code != wire.CloseTokenEnded {
		t.Errorf("closed with %d", code)
	}
}

func TestWhatTheKeeperForgetsTheNodesKeepAgain(t *testing.T) {
	k, a, b := twoNodes(t)
	k.changeUnder(func() { k.down = errors.New("no route to host") })
	if w := a.postRevocation(`{"role":"driver","id":"d"}`); w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") == "" {
		t.Errorf("not told to all, and answered %d", w.Code)
	}
	a.startRunning()
	k.changeUnder(func() { k.down = nil })
	a.awaitCondition("it is kept after all", k.holdsNotices(1))
	k.changeUnder(func() { clear(k.kept) }) // as FLUSHALL would
	a.awaitCondition("it is kept again", k.holdsNotices(1))
	b.startRunning()

	b.awaitCondition("the other node knows", func() bool {
		_, err := b.auth.Verify(testToken(t, b.auth, trips.RoleDriver, "d"))
		return errors.Is(err, auth.ErrRevoked)
	})
}
