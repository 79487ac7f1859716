package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridehail/ridehail/httpapi"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// abyss never answers before it is over, and counts who asks.
type abyss struct {
	open  atomic.Bool
	asked atomic.Int32
	over  chan struct{}
}

func (a *abyss) awaitAnswer() {
	if a.open.Load() {
		a.asked.Add(1)
		<-a.over
	}
}

// plainCity is served as GeoJSON only.
type plainCity struct{ httpapi.City }

func (plainCity) GeoJSON() []byte { return []byte(`{"type":"FeatureCollection","features":[]}`) }

// What needs neither Postgres nor Redis does not even ask them. So it cannot
// wait for them, however busy the machine is.
func TestWhatNeedsNoLostPartNeverAsksIt(t *testing.T) {
	database, redis := &abyss{over: make(chan struct{})}, &abyss{over: make(chan struct{})}
	c := newTestNodeWith(t, func(cfg *Config) {
		cfg.Store.(*memory).onRead = database.awaitAnswer
		cfg.Publish = func(context.Context, trips.Actor, string, location.Region, []byte) error {
			redis.awaitAnswer()
			return nil
		}
	}, func(cfg *httpapi.Config) { cfg.DevTokens, cfg.City = true, plainCity{} })

	r := newReservedRide(t, c, asProto, asJSONText)
	token := testToken(t, c.auth, trips.RoleRider, "r")
	for _, part := range []*abyss{database, redis} {
		part.open.Store(true)
	}

	t.Cleanup(func() { // before the node is drained
		for _, part := range []*abyss{database, redis} {
			part.open.Store(false)
			close(part.over)
		}
	})
	began := time.Now()

	for i := range 10 {
		r.driver.driveOn()
		r.rider.ackPositions(uint32(len(r.rider.positionsSoFar())))
		awaitBodies[*wire.ServerFrame_Position](r.rider, i+1)
	}

	r.rider.sendFrame(areaFrame(market, 1000))
	awaitBodies[*wire.ServerFrame_Cars](r.rider, 1)
	r.driver.mustDo(availableFrame(false))
	r.driver.mustDo(answerFrame("never made", false))
	journey := fmt.Sprintf(`{"pickup":{"lng":%v,"lat":%v},"dropoff":{"lng":%v,"lat":%v}}`, market.Lng, market.Lat, airport.Lng, airport.Lat)
	for _, x := range []struct{ method, path, body string }{
		{"GET", "/healthz", ""}, {"GET", "/", ""}, {"GET", "/v1/city", ""},
		{"GET", fmt.Sprintf("/v1/nearby?lng=%v&lat=%v", market.Lng, market.Lat), ""}, {"POST", "/v1/quotes", journey},
		{"POST", "/v1/dev/tokens", `{"role":"rider","id":"new"}`},
	} {
		req := httptest.NewRequest(x.method, x.path, strings.NewReader(x.body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		c.api.Public().ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Errorf("%s %s: %d %s", x.method, x.path, w.Code, w.Body)
		}
	}

	if n := database.asked.Load(); n != 0 {
		t.Errorf("the database was asked %d times", n)
	}
	if n := redis.asked.Load(); n != 0 {
		t.Errorf("Redis was asked %d times", n)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}

	// The trap works: who needs the database asks it.
	r.driver.sendCommand("step", stepFrame(r.trip, wire.Step_ARRIVE))
	c.awaitCondition("the database is asked", func() bool { return database.asked.Load() > 0 })
}
