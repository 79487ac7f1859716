package gateway

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// park puts an available driver some metres north of the market.
func (c *town) park(id trips.DriverID, metres float64) {
	c.t.Helper()
	c.drivers.Connect(id, "node")
	c.drivers.SetAvailable(id, true)
	at := location.Point{Lng: market.Lng, Lat: market.Lat + metres/111_195}
	if why := c.drivers.Move(id, location.Fix{Point: at, Seq: 1, At: c.now()}); why != location.Accepted {
		c.t.Fatal(why)
	}
}

// browser is a rider who looks at cars and says by hand when they were shown.
func (c *town) browser(subprotocol string) *phone {
	p := c.mute(subprotocol, trips.Rider("r"))
	p.conn.SetPingHandler(func(string) error { return nil })
	p.listen()
	p.hello(nil)
	p.welcome()
	return p
}

func (p *phone) showedCars() {
	p.t.Helper()
	if err := p.conn.WriteControl(websocket.PongMessage, []byte(carsPing), time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	p.settled()
}

// cars waits for the nth frame of cars and returns their ids.
func (p *phone) cars(n int) (ids []string) {
	p.t.Helper()
	for _, car := range has[*wire.ServerFrame_Cars](p, n)[n-1].Cars.Cars {
		ids = append(ids, car.Id)
	}
	slices.Sort(ids)
	return ids
}

func (p *phone) carFrames() int { return len(frames[*wire.ServerFrame_Cars](p.sofar())) }

func TestARiderSeesTheCarsOfAnAreaAsOftenAsTheyAreShown(t *testing.T) {
	both(t, func(t *testing.T, riders, _ string) {
		c := newTown(t, nil)
		c.park("near", 300)
		c.park("far", 3000)
		p := c.browser(riders)
		p.send(areaFrame(market, 1000))
		if got := fmt.Sprint(p.cars(1)); got != "[near]" {
			t.Errorf("at once: %s", got)
		}
		for range 3 { // a slow phone is not sent more
			c.pass(time.Second)
			c.g.tick()
		}

		p.settled()
		if n := p.carFrames(); n != 1 {
			t.Fatalf("%d frames before the first was shown", n)
		}
		c.park("new", 500)
		p.showedCars()
		c.g.tick()
		if got := fmt.Sprint(p.cars(2)); got != "[near new]" {
			t.Errorf("with the next tick: %s", got)
		}
		p.send(areaFrame(market, 5000)) // the last ones are not shown yet
		p.showedCars()
		c.g.tick()
		if got := fmt.Sprint(p.cars(3)); got != "[far near new]" {
			t.Errorf("a wider area: %s", got)
		}
		p.showedCars()
		p.send(areaFrame(market, 0))
		p.settled()
		c.g.tick()
		p.settled()
		if n := p.carFrames(); n != 3 {
			t.Errorf("%d frames, and the last after the rider had stopped", n)
		}
	})
}

func TestAnAreaIsClampedToWhatANodeGives(t *testing.T) {
	c := newTown(t, func(cfg *Config) { cfg.Limits.AreaMetres, cfg.Limits.AreaCars = 1000, 2 })
	for i, metres := range []float64{100, 200, 300, 3000} {
		c.park(trips.DriverID(fmt.Sprint("d", i)), metres)
	}

	p := c.browser(asProto)
	for i, radius := range []float32{1e9, float32(math.Inf(1))} {
		p.send(areaFrame(market, radius))
		if got := p.cars(i + 1); len(got) != 2 || slices.Contains(got, "d3") {
			t.Errorf("within %v: %v", radius, got)
		}
		p.showedCars()
	}

	for _, radius := range []float32{-1, float32(math.NaN())} {
		p.send(areaFrame(market, radius))
	}
	p.send(areaFrame(location.Point{Lng: 3, Lat: 91}, 100))
	if ack := has[*wire.ServerFrame_Ack](p, 1)[0].Ack; ack.Code != string(wire.CodeBadField) {
		t.Errorf("off the Earth: %v", ack)
	}

	c.g.tick()
	p.settled()
	if n := p.carFrames(); n != 2 {
		t.Errorf("%d frames", n)
	}
}

func TestAStrangersCarIsShownRoughlyAndItsOfferNotAtAll(t *testing.T) {
	c := newTown(t, nil)
	c.park("offered", 101)
	if err := c.drivers.Reserve("offered", "offer"); err != nil {
		t.Fatal(err)
	}
	c.park("off-duty", 50)
	c.drivers.SetAvailable("off-duty", false)
	c.park("gone", 60)
	c.drivers.Disconnect("gone", "node")
	p := c.browser(asJSONText)
	c.pass(2 * time.Second)
	p.send(areaFrame(market, 1000))

	cars := has[*wire.ServerFrame_Cars](p, 1)[0].Cars.Cars
	if len(cars) != 1 || cars[0].Id != "offered" || cars[0].Status != "available" ||
		cars[0].AgeS != 2 || cars[0].Point.Lat != 6.4509 {
		t.Errorf("cars %v", cars)
	}
}
