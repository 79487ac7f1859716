package routing

import (
	"context"
	"math/rand/v2"
	"testing"
)

func TestSmoke(t *testing.T) {
	c, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	lo, hi := c.Bounds()
	t.Log(len(c.graph.nodes), len(c.graph.edges), len(c.GeoJSON()), c.Regions(), lo, hi)
	r := NewRouter(c)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		a, b := c.RandomPoint(rnd), c.RandomPoint(rnd)
		way, err := r.Route(context.Background(), a, b)
		t.Log(a, b, way.Metres, way.Duration, len(way.Path), err)
	}
}
