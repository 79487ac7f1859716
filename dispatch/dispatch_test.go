package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

type metresOf = map[trips.DriverID]float64

func TestNearestDriverGetsTheOfferAndTheTrip(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.wantOffered("near")

		o := w.lastOffer()
		if o.Node != "n1" || o.Epoch == 0 || o.Metres != 300 || o.Trip.ID != id || !o.ExpiresAt.Equal(time.Now().Add(15*time.Second)) {
			t.Errorf("offer %+v lacks what its reader needs", o)
		}

		w.advance(4 * time.Second)
		w.acceptOffer(o, true)
		w.wantSearches(0)
		w.wantWithdrawn()
		if !w.fleet.isHeld("near") {
			t.Error("a driver who took a trip is free for the next one")
		}
		if n := testutil.ToFloat64(w.dispatcher.metrics.offers.WithLabelValues("accepted")); n != 1 {
			t.Errorf("%v accepted offers counted", n)
		}
	})
}

func TestDeclineGoesToTheNextAndIsNotAskedAgain(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r", true)
		w.declineOffer(w.lastOffer())
		w.wantOffered("near", "far")
		w.declineOffer(w.lastOffer())
		w.advance(100 * time.Second)
		w.wantOffered("near", "far")
		if w.fleet.isHeld("near") || w.fleet.isHeld("far") {
			t.Error("a driver who declined is still held")
		}
	})
}

func TestSilenceExpiresAfterFifteenSecondsAndGoesToTheNext(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r", true)
		w.advance(15*time.Second - time.Millisecond)
		w.wantOffered("near")
		w.advance(time.Millisecond)
		w.wantOffered("near", "far")
		w.wantWithdrawn("near " + GoneExpired)
	})
}

func TestSilentDriverIsAskedAgainLater(t *testing.T) {
	runInTown(t, metresOf{"only": 300}, func(w *testTown) {
		w.requestTrip("r", true)
		w.advance(44 * time.Second)
		w.wantOffered("only")
		w.advance(2 * time.Second)
		w.wantOffered("only", "only")
	})
}

func TestVanishedDriverDoesNotHoldUpTheOffer(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r", true)
		w.fleet.removeDriver("near")
		w.dispatcher.OnDriverGone("near")
		w.advance(0)
		w.wantOffered("near", "far")
	})
}

func TestUnreachableDriverIsPassedOver(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.transport.unreachable["near"] = true
		w.requestTrip("r", true)
		w.wantOffered("far")
		if w.fleet.isHeld("near") {
			t.Error("an unreachable driver stays held")
		}
	})
}

func TestAStoreThatHangsIsAskedAgainUntilItAnswers(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		w.requestTrip("r", true)
		w.acceptOffer(w.lastOffer(), false)
		w.store.setHanging(true)
		w.advance(time.Minute)
		w.wantSearches(1)
		if !w.fleet.isHeld("near") {
			t.Error("a driver is free although it is unknown whether they took the trip")
		}

		// It never answers the calls made before.
		w.store.setHanging(false)
		w.advance(storeTimeout + rereadInterval)
		w.wantSearches(0)
		w.wantWithdrawn()
	})
}

func TestATripThatCannotBeExpiredForAHangingStoreIsTriedAgain(t *testing.T) {
	runInTown(t, nil, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.advance(2 * time.Minute)
		w.store.setHanging(true)
		w.advance(2 * time.Minute)
		w.store.setHanging(false)
		w.advance(10 * time.Second)
		w.wantSearches(0)
		w.wantTrip(id, trips.Expired, ReasonNoDriverNearby)
	})
}

func TestTwoRidersWantTheLastDriver(t *testing.T) {
	runInTown(t, metresOf{"last": 300}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.requestTrip("r2", true)
		w.wantOffered("last")
		first := w.lastOffer()
		w.declineOffer(first)
		w.advance(2 * time.Second)
		w.wantOffered("last", "last")

		second := w.lastOffer()
		if first.Trip.ID == second.Trip.ID {
			t.Error("a driver who declined was asked again for the same trip")
		}

		w.acceptOffer(second, true)
		w.wantSearches(1)
	})
}

func TestCirclesWiden(t *testing.T) {
	runInTown(t, metresOf{"far": 11_000, "away": 13_000}, func(w *testTown) {
		w.requestTrip("r", true)
		w.wantOffered("far")
		w.declineOffer(w.lastOffer())
		w.advance(10 * time.Second)
		w.wantOffered("far")
	})
}

func TestLostAcceptIsFoundByReadingTheStore(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r", true)
		w.advance(14500 * time.Millisecond)
		w.acceptOffer(w.lastOffer(), false)
		w.advance(time.Second)
		w.wantOffered("near")
		w.wantSearches(0)
		w.wantWithdrawn()
	})
}

func TestADriverWhoTookATripThatEndedAtOnceIsNotHeldForEver(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)

		// The event is lost, so the shared state does not learn of it either.
		w.acceptOffer(w.lastOffer(), false)
		w.cancelTrip(id, "r", true)
		w.wantSearches(0)
		if w.fleet.isHeld("near") {
			t.Error("the trip is over, and its driver is still held for the offer")
		}
	})
}

func TestLostHintsAreHealedByTheScan(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		w.advance(time.Millisecond)
		id := w.requestTrip("r", false)
		w.wantOffered()
		w.advance(2 * time.Second)
		w.wantOffered("near")
		w.cancelTrip(id, "r", false)
		w.advance(2 * time.Second)
		w.wantWithdrawn("near " + GoneCancelled)
		w.wantSearches(0)
	})
}

func TestCancelWithdrawsTheOfferAtOnce(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.cancelTrip(id, "r", true)
		w.wantWithdrawn("near " + GoneCancelled)
		w.wantSearches(0)
		if w.fleet.isHeld("near") {
			t.Error("the driver stays held after the rider left")
		}
	})
}

func TestTripTakenByAnotherDispatchersDriverWithdrawsOurs(t *testing.T) {
	runInTown(t, metresOf{"ours": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.applyVerb(id, true, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("theirs", at) })
		w.wantWithdrawn("ours " + GoneTaken)
		if w.fleet.isHeld("ours") {
			t.Error("our driver stays held")
		}
	})
}

func TestGivesUpWithAReason(t *testing.T) {
	runInTown(t, metresOf{}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.advance(3*time.Minute - time.Second)
		w.wantTrip(id, trips.Requested, "")
		w.advance(2 * time.Second)
		w.wantTrip(id, trips.Expired, ReasonNoDriverNearby)
		w.wantSearches(0)
	})

	runInTown(t, metresOf{"no": 100}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.declineOffer(w.lastOffer())
		w.advance(3*time.Minute + time.Second)
		w.wantTrip(id, trips.Expired, ReasonNoDriverAccepted)
	})
}

func TestOffersPerTripAreBounded(t *testing.T) {
	runInTown(t, metresOf{"a": 1, "b": 2, "c": 3}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.declineOffer(w.lastOffer())
		w.declineOffer(w.lastOffer())
		w.wantOffered("a", "b")
		w.wantTrip(id, trips.Expired, ReasonNoDriverAccepted)
	}, func(c *Config) { c.MaxOffers = 2 })
}

func TestRestartPicksUpOpenTripsEvenOldOnes(t *testing.T) {
	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.stopDispatcher()
		w.wantWithdrawn("near " + GoneWithdrawn)
		if w.fleet.isHeld("near") {
			t.Error("a stopped dispatcher keeps its hold")
		}
		before := w.lastOffer()
		w.advance(time.Hour)
		w.startDispatcher()
		w.wantOffered("near", "near")
		if w.lastOffer().Epoch <= before.Epoch {
			t.Error("the epoch does not grow")
		}
		w.acceptOffer(w.lastOffer(), true)
		w.wantTrip(id, trips.Reserved, "")
	})
}

func TestLostOwnershipStopsTheSearchAndAnotherTripsStart(t *testing.T) {
	var owns atomic.Bool
	owns.Store(true)

	runInTown(t, metresOf{"near": 300}, func(w *testTown) {
		w.requestTrip("r", true)
		owns.Store(false)
		w.advance(2 * time.Second)
		w.wantWithdrawn("near " + GoneWithdrawn)
		w.requestTrip("s", true)
		w.wantSearches(0)
		owns.Store(true)
		w.advance(2 * time.Second)
		w.wantSearches(2)
	}, func(c *Config) { c.OwnsRegion = func(location.Region) bool { return owns.Load() } })
}

func TestDriverStaysHeldWhileTheStoreCannotSayWhetherHeAccepted(t *testing.T) {
	runInTown(t, metresOf{"near": 300, "far": 900}, func(w *testTown) {
		w.requestTrip("r", true)
		w.advance(10 * time.Second)
		w.acceptOffer(w.lastOffer(), false)
		w.store.setDown(true)
		w.advance(30 * time.Second)
		w.wantOffered("near")
		w.store.setDown(false)
		w.advance(2 * time.Second)
		w.wantOffered("near")
		w.wantSearches(0)
	})
}

func TestExpiryIsTriedAgainWhenTheStoreWasAway(t *testing.T) {
	runInTown(t, metresOf{}, func(w *testTown) {
		id := w.requestTrip("r", true)
		w.store.setDown(true)
		w.advance(4 * time.Minute)
		w.store.setDown(false)
		w.advance(3 * time.Second)
		w.wantTrip(id, trips.Expired, ReasonNoDriverNearby)
	})
}

func TestSearchesAreBoundedAndTheRestWaitsInTheStore(t *testing.T) {
	runInTown(t, metresOf{"a": 1, "b": 2}, func(w *testTown) {
		w.requestTrip("r1", true)
		w.requestTrip("r2", true)
		w.wantSearches(1)
		if n := testutil.ToFloat64(w.dispatcher.metrics.droppedSignals.WithLabelValues("searches_full")); n != 1 {
			t.Errorf("counted %v trips without room", n)
		}
		w.acceptOffer(w.lastOffer(), true)
		w.advance(2 * time.Second)
		w.wantOffered("a", "b")
	}, func(c *Config) { c.MaxSearches = 1 })
}

func TestHintNeverBlocksAndCountsWhatItDrops(t *testing.T) {
	d := New(Config{}) // It does not run, so the hints are not read.
	for range hintBuffer + 3 {
		d.Hint(trips.Event{})
	}
	if n := testutil.ToFloat64(d.metrics.droppedSignals.WithLabelValues("hints_full")); n != 3 {
		t.Errorf("counted %v dropped hints, want 3", n)
	}
}

func TestRepeatedHintsStartOneSearch(t *testing.T) {
	runInTown(t, metresOf{"a": 1, "b": 2}, func(w *testTown) {
		id := w.requestTrip("r", true)
		trip, _ := w.store.Trip(context.Background(), id)
		for range 5 {
			w.dispatcher.Hint(trips.Event{Kind: trips.KindRequested, Trip: trip})
		}
		w.advance(5 * time.Second)
		w.wantOffered("a")
	})
}

// The scan may find a trip before its hint arrives, which can wait in the
// outbox until the ride is over.
func TestAHintThatComesAfterTheRideOffersItToNobody(t *testing.T) {
	runInTown(t, metresOf{"a": 1, "b": 2}, func(w *testTown) {
		w.advance(time.Millisecond)
		id := w.requestTrip("r", false)
		requested, _ := w.store.Trip(context.Background(), id)
		w.dispatcher.ScanSoon()
		w.advance(0)
		w.acceptOffer(w.lastOffer(), true)
		w.wantSearches(0)

		w.dispatcher.Hint(trips.Event{Kind: trips.KindRequested, Trip: requested})
		w.advance(5 * time.Second)
		w.wantOffered("a")
	})
}

func TestAnswersToOldOffersMeanNothing(t *testing.T) {
	runInTown(t, metresOf{"a": 1, "b": 2}, func(w *testTown) {
		w.requestTrip("r", true)
		old := w.lastOffer()
		w.advance(15 * time.Second)
		w.declineOffer(old)
		w.declineOffer(Offer{ID: w.lastOffer().ID, Driver: "stranger"})
		w.wantOffered("a", "b")
	})
}
