package gateway

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// parkDriver puts an available driver some metres north of the market.
func (c *testNode) parkDriver(id trips.DriverID, metres float64) {
	c.t.Helper()
	c.drivers.Connect(id, "node")
	c.drivers.SetAvailable(id, true)
	at := location.Point{Lng: market.Lng, Lat: market.Lat + metres/111_195}
	if why := c.drivers.Move(id, location.Fix{Point: at, Seq: 1, At: c.now()}); why != location.Accepted {
		c.t.Fatal(why)
	}
}

// connectBrowser is a rider who looks at cars and says by hand when they were
// shown.
func (c *testNode) connectBrowser(subprotocol string) *phone {
	p := c.connectSilent(subprotocol, trips.Rider("r"))
	p.conn.SetPingHandler(func(string) error { return nil })
	p.listen()
	p.sendHello(nil)
	p.awaitWelcome()
	return p
}

func (p *phone) showedCars() {
	p.t.Helper()
	if err := p.conn.WriteControl(websocket.PongMessage, []byte(carsPing), time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	p.awaitHandled()
}

// awaitCars waits for the nth frame of cars and returns their ids.
func (p *phone) awaitCars(n int) (ids []string) {
	p.t.Helper()
	for _, car := range awaitBodies[*wire.ServerFrame_Cars](p, n)[n-1].Cars.Cars {
		ids = append(ids, car.Id)
	}
	slices.Sort(ids)
	return ids
}

func (p *phone) carFrames() int { return len(bodiesOf[*wire.ServerFrame_Cars](p.framesSoFar())) }

func TestARiderSeesTheCarsOfAnAreaAsOftenAsTheyAreShown(t *testing.T) {
	forBothEncodings(t, func(t *testing.T, riders, _ string) {
		c := newTestNode(t, nil)
		c.parkDriver("near", 300)
		c.parkDriver("far", 3000)
		p := c.connectBrowser(riders)
		p.sendFrame(areaFrame(market, 1000))
		if got := fmt.Sprint(p.awaitCars(1)); got != "[near]" {
			t.Errorf("at once: %s", got)
		}
		for range 3 { // a slow phone is not sent more
			c.pass(time.Second)
			c.g.tickSessions()
		}

		p.awaitHandled()
		if n := p.carFrames(); n != 1 {
			t.Fatalf("%d frames before the first was shown", n)
		}
		c.parkDriver("new", 500)
		p.showedCars()
		c.g.tickSessions()
		if got := fmt.Sprint(p.awaitCars(2)); got != "[near new]" {
			t.Errorf("with the next tick: %s", got)
		}
		p.sendFrame(areaFrame(market, 5000)) // the last ones are not shown yet
		p.showedCars()
		c.g.tickSessions()
		if got := fmt.Sprint(p.awaitCars(3)); got != "[far near new]" {
			t.Errorf("a wider area: %s", got)
		}
		p.showedCars()
		p.sendFrame(areaFrame(market, 0))
		p.awaitHandled()
		c.g.tickSessions()
		p.awaitHandled()
		if n := p.carFrames(); n != 3 {
			t.Errorf("%d frames, and the last after the rider had stopped", n)
		}
	})
}

func TestAnAreaIsClampedToWhatANodeGives(t *testing.T) {
	c := newTestNode(t, func(cfg *Config) { cfg.Limits.AreaMetres, cfg.Limits.AreaCars = 1000, 2 })
	for i, metres := range []float64{100, 200, 300, 3000} {
		c.parkDriver(trips.DriverID(fmt.Sprint("d", i)), metres)
	}

	p := c.connectBrowser(asProto)
	for i, radius := range []float32{1e9, 1001} {
		p.sendFrame(areaFrame(market, radius))
		if got := p.awaitCars(i + 1); len(got) != 2 || slices.Contains(got, "d3") {
			t.Errorf("within %v: %v", radius, got)
		}
		p.showedCars()
	}

	p.sendFrame(areaFrame(location.Point{Lng: 3, Lat: 91}, 0)) // 0 stops, wherever
	p.awaitHandled()
	c.g.tickSessions()
	p.awaitHandled()
	if n := p.carFrames(); n != 2 {
		t.Errorf("%d frames", n)
	}
}

func TestAStrangersCarIsShownRoughlyAndItsOfferNotAtAll(t *testing.T) {
	c := newTestNode(t, nil)
	c.parkDriver("offered", 101)
	if err := c.drivers.Reserve("offered", "offer"); err != nil {
		t.Fatal(err)
	}
	c.parkDriver("off-duty", 50)
	c.drivers.SetAvailable("off-duty", false)
	c.parkDriver("gone", 60)
	c.drivers.Disconnect("gone", "node")
	p := c.connectBrowser(asJSONText)
	c.pass(2 * time.Second)
	p.sendFrame(areaFrame(market, 1000))

	cars := awaitBodies[*wire.ServerFrame_Cars](p, 1)[0].Cars.Cars
	if len(cars) != 1 || cars[0].Id != "offered" || cars[0].Status != "available" ||
		cars[0].AgeS != 2 || cars[0].Point.Lat != 6.4509 {
		t.Errorf("cars %v", cars)
	}
}
