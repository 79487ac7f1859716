package node_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/client"
	"github.com/ridehail/ridehail/node"
	"github.com/ridehail/ridehail/wire"
)

// BenchmarkPositionAcrossNodes sends positions of one ride to two phones of its
// rider, one on the driver's node and one on another, and compares how long
// each took.
func BenchmarkPositionAcrossNodes(b *testing.B) {
	address, _ := openRedis(b)
	cfg := node.Config{Database: createDatabase(b), Redis: address, Speed: 1000, DatabaseConns: 5}
	cfg.Name = "one"
	one := startNode(b, cfg)
	cfg.Name = "two"
	two := startNode(b, cfg)

	market := &wire.Point{Lng: marketPoint.Lng, Lat: marketPoint.Lat}
	driver := startPhone(b, one, client.RoleDriver, "dayo")
	driver.command(client.NewFrame(&wire.SetAvailable{Available: true}))
	seq := uint32(0)
	send := func() {
		seq++
		fix := &wire.Fix{Seq: seq, AtMs: wire.ToMillis(time.Now()), Point: market, Accuracy: 5}
		if err := driver.Send(client.NewFrame(fix)); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stopDriving := context.WithCancel(b.Context())
	driving := make(chan struct{})
	go func() {
		defer close(driving)
		for ctx.Err() == nil {
			send()
			time.Sleep(100 * time.Millisecond)
		}
	}()

	riders := map[string]*phone{"same": startPhone(b, one, client.RoleRider, "ada"), "across": startPhone(b, two, client.RoleRider, "ada")}
	riders["same"].command(client.NewFrame(&wire.RequestTrip{Pickup: market, Dropoff: &wire.Point{Lng: 3.393263, Lat: 6.484199}}))
	offer := awaitFrame(driver, (*wire.ServerFrame).GetOffer)
	driver.command(client.NewFrame(&wire.AnswerOffer{OfferId: offer.Id, Accept: true}))
	for _, p := range riders {
		awaitFrame(p, (*wire.ServerFrame).GetPosition)
	}
	stopDriving()
	<-driving

	took := map[string][]time.Duration{}
	b.ResetTimer()
	for range b.N {
		sent := time.Now()
		send()
		for _, name := range []string{"same", "across"} {
			for awaitFrame(riders[name], (*wire.ServerFrame).GetPosition).Seq != seq {
			}
			took[name] = append(took[name], time.Since(sent))
		}
		time.Sleep(15 * time.Millisecond) // below the node's limit of frames a second
	}
	b.StopTimer()

	for name, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-us")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-us")
	}
	b.ReportMetric(float64(took["across"][len(took["across"])/2])/float64(took["same"][len(took["same"])/2]), "ratio")
}
