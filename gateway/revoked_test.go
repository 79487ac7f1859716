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
	nodes []*town
	down  error
	cut   bool // nobody is told
}

func (k *keeper) Keep(_ context.Context, notice []byte, until time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down == nil {
		k.kept[string(notice)] = until
	}
	return k.down
}

func (k *keeper) Kept(context.Context) (list [][]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for notice := range k.kept {
		list = append(list, []byte(notice))
	}
	return list, k.down
}

func (k *keeper) Publish(_ context.Context, notice []byte) error {
	k.mu.Lock()
	nodes, down, cut := slices.Clone(k.nodes), k.down, k.cut
	k.mu.Unlock()

	if down != nil || cut {
		return down
	}
	for _, c := range nodes {
		c.revoked.Apply(notice)
	}

	return nil
}

func (k *keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *keeper) holds(n int) func() bool {
	return func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.kept) == n
	}
}

// twoNodes have a keeper between them.
func twoNodes(t *testing.T) (k *keeper, a, b *town) {
	k = &keeper{kept: map[string]time.Time{}}
	both := func(cfg *httpapi.Config) { cfg.Revocations.Keeper = k }
	a, b = newTownWith(t, nil, both), newTownWith(t, nil, both)
	k.set(func() { k.nodes = []*town{a, b} })
	return k, a, b
}

// revoke asks a node's admin API.
func (c *town) revoke(body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", "/admin/revocations", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.api.Admin().ServeHTTP(w, req)
	return w
}

// get asks for a user's trips with a token and returns the status.
func (c *town) get(token string) int {
	req := httptest.NewRequest("GET", "/v1/trips", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	c.api.Public().ServeHTTP(w, req)
	return w.Code
}

func TestARevokedUserIsShutOutOfEveryNodeUntilTheyHaveANewToken(t *testing.T) {
	_, a, b := twoNodes(t)
	old := testToken(t, b.auth, trips.RoleRider, "r")
	here, there := a.connect(trips.Rider("r"), asProto, nil), b.connect(trips.Rider("r"), asJSONText, nil)

	// another actor with the same id
	calm := b.connect(trips.Driver("r"), asProto, nil)
	if w := a.revoke(`{"role":"rider","id":"r"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}

	for name, p := range map[string]*phone{"the operator's node": here, "another node": there} {
		if code := p.closed(); code != wire.CloseTokenEnded {
			t.Errorf("on %s the socket closed with %d", name, code)
		}
	}

	if status := b.get(old); status != http.StatusUnauthorized {
		t.Errorf("an old token is answered %d", status)
	}
	again := b.knock(asProto, trips.Rider("r"))
	again.hello(nil) // with a token issued in the second of the revocation
	if code := again.closed(); code != wire.CloseTokenEnded {
		t.Errorf("a hello with an old token closed with %d", code)
	}

	calm.settled()
	b.pass(time.Second)
	b.connect(trips.Rider("r"), asProto, nil).settled()
}

func TestOneRevokedTokenLeavesTheUsersOthersAlone(t *testing.T) {
	_, a, b := twoNodes(t)
	stolen, kept := testToken(t, b.auth, trips.RoleRider, "r"), testToken(t, b.auth, trips.RoleRider, "r")

	p, err := b.auth.Verify(stolen)
	if err != nil {
		t.Fatal(err)
	}

	body, _ := json.Marshal(map[string]string{"jti": p.ID})
	if w := a.revoke(string(body)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got, other := b.get(stolen), b.get(kept); got != http.StatusUnauthorized || other != http.StatusOK {
		t.Errorf("the revoked token is answered %d, the other %d", got, other)
	}
}

func TestANodeThatHeardNothingLearnsWhatWasRevoked(t *testing.T) {
	k, a, b := twoNodes(t)
	k.set(func() { k.cut = true })
	p := b.connect(trips.Driver("d"), asProto, nil)
	if w := a.revoke(`{"role":"driver","id":"d"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}

	p.settled()
	b.runs()
	if code := p.closed(); code != wire.CloseTokenEnded {
		t.Errorf("closed with %d", code)
	}
}

func TestWhatTheKeeperForgetsTheNodesKeepAgain(t *testing.T) {
	k, a, b := twoNodes(t)
	k.set(func() { k.down = errors.New("no route to host") })
	if w := a.revoke(`{"role":"driver","id":"d"}`); w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") == "" {
		t.Errorf("not told to all, and answered %d", w.Code)
	}
	a.runs()
	k.set(func() { k.down = nil })
	a.until("it is kept after all", k.holds(1))
	k.set(func() { clear(k.kept) }) // as FLUSHALL would
	a.until("it is kept again", k.holds(1))
	b.runs()

	b.until("the other node knows", func() bool {
		_, err := b.auth.Verify(testToken(t, b.auth, trips.RoleDriver, "d"))
		return errors.Is(err, auth.ErrRevoked)
	})
}
