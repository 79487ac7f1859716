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
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		id := w.request("r", true)
		w.wantOffered("near")

		o := w.last()
		if o.Node != "n1" || o.Epoch == 0 || o.Metres != 300 || o.Trip.ID != id || !o.ExpiresAt.Equal(time.Now().Add(15*time.Second)) {
			t.Errorf("offer %+v lacks what its reader needs", o)
		}

		w.pass(4 * time.Second)
		w.accept(o, true)
		w.wantSearches(0)
		w.wantWithdrawn()
		if !w.fleet.held("near") {
			t.Error("a driver who took a trip is free for the next one")
		}
		if n := testutil.ToFloat64(w.d.m.offers.WithLabelValues("accepted")); n != 1 {
			t.Errorf("%v accepted offers counted", n)
		}
	})
}

func TestDeclineGoesToTheNextAndIsNotAskedAgain(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r", true)
		w.decline(w.last())
		w.wantOffered("near", "far")
		w.decline(w.last())
		w.pass(100 * time.Second)
		w.wantOffered("near", "far")
		if w.fleet.held("near") || w.fleet.held("far") {
			t.Error("a driver who declined is still held")
		}
	})
}

func TestSilenceExpiresAfterFifteenSecondsAndGoesToTheNext(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r", true)
		w.pass(15*time.Second - time.Millisecond)
		w.wantOffered("near")
		w.pass(time.Millisecond)
		w.wantOffered("near", "far")
		w.wantWithdrawn("near " + GoneExpired)
	})
}

func TestSilentDriverIsAskedAgainLater(t *testing.T) {
	inTown(t, metresOf{"only": 300}, func(w *town) {
		w.request("r", true)
		w.pass(44 * time.Second)
		w.wantOffered("only")
		w.pass(2 * time.Second)
		w.wantOffered("only", "only")
	})
}

func TestVanishedDriverDoesNotHoldUpTheOffer(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r", true)
		w.fleet.leave("near")
		w.d.DriverGone("near")
		w.pass(0)
		w.wantOffered("near", "far")
	})
}

func TestUnreachableDriverIsPassedOver(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.courier.unreachable["near"] = true
		w.request("r", true)
		w.wantOffered("far")
		if w.fleet.held("near") {
			t.Error("an unreachable driver stays held")
		}
	})
}

func TestAStoreThatHangsIsAskedAgainUntilItAnswers(t *testing.T) {
	inTown(t, metresOf{"near": 300}, func(w *town) {
		w.request("r", true)
		w.accept(w.last(), false)
		w.store.setHanging(true)
		w.pass(time.Minute)
		w.wantSearches(1)
		if !w.fleet.held("near") {
			t.Error("a driver is free although nobody knows whether they took the trip")
		}

		// and does not answer what it was asked before
		w.store.setHanging(false)
		w.pass(storeWithin + rereadEvery)
		w.wantSearches(0)
		w.wantWithdrawn()
	})
}

func TestATripThatCannotBeExpiredForAHangingStoreIsTriedAgain(t *testing.T) {
	inTown(t, nil, func(w *town) {
		id := w.request("r", true)
		w.pass(2 * time.Minute)
		w.store.setHanging(true)
		w.pass(2 * time.Minute)
		w.store.setHanging(false)
		w.pass(10 * time.Second)
		w.wantSearches(0)
		w.wantTrip(id, trips.Expired, ReasonNobodyNear)
	})
}

func TestTwoRidersWantTheLastDriver(t *testing.T) {
	inTown(t, metresOf{"last": 300}, func(w *town) {
		w.request("r1", true)
		w.request("r2", true)
		w.wantOffered("last")
		first := w.last()
		w.decline(first)
		w.pass(2 * time.Second)
		w.wantOffered("last", "last")

		second := w.last()
		if first.Trip.ID == second.Trip.ID {
			t.Error("a driver who declined was asked again for the same trip")
		}

		w.accept(second, true)
		w.wantSearches(1)
	})
}

func TestCirclesWiden(t *testing.T) {
	inTown(t, metresOf{"far": 11_000, "away": 13_000}, func(w *town) {
		w.request("r", true)
		w.wantOffered("far")
		w.decline(w.last())
		w.pass(10 * time.Second)
		w.wantOffered("far")
	})
}

func TestLostAcceptIsFoundByReadingTheStore(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r", true)
		w.pass(14500 * time.Millisecond)
		w.accept(w.last(), false)
		w.pass(time.Second)
		w.wantOffered("near")
		w.wantSearches(0)
		w.wantWithdrawn()
	})
}

func TestADriverWhoTookATripThatEndedAtOnceIsNotHeldForEver(t *testing.T) {
	inTown(t, metresOf{"near": 300}, func(w *town) {
		id := w.request("r", true)

		// the news of it is lost, and so is what the shared state learns from
		// it
		w.accept(w.last(), false)
		w.cancel(id, "r", true)
		w.wantSearches(0)
		if w.fleet.held("near") {
			t.Error("the trip is over, and its driver is still held for the offer")
		}
	})
}

func TestLostHintsAreHealedByTheScan(t *testing.T) {
	inTown(t, metresOf{"near": 300}, func(w *town) {
		w.pass(time.Millisecond)
		id := w.request("r", false)
		w.wantOffered()
		w.pass(2 * time.Second)
		w.wantOffered("near")
		w.cancel(id, "r", false)
		w.pass(2 * time.Second)
		w.wantWithdrawn("near " + GoneCancelled)
		w.wantSearches(0)
	})
}

func TestCancelWithdrawsTheOfferAtOnce(t *testing.T) {
	inTown(t, metresOf{"near": 300}, func(w *town) {
		id := w.request("r", true)
		w.cancel(id, "r", true)
		w.wantWithdrawn("near " + GoneCancelled)
		w.wantSearches(0)
		if w.fleet.held("near") {
			t.Error("the driver stays held after the rider left")
		}
	})
}

func TestTripTakenByAnotherDispatchersDriverWithdrawsOurs(t *testing.T) {
	inTown(t, metresOf{"ours": 300}, func(w *town) {
		id := w.request("r", true)
		w.move(id, true, func(t trips.Trip, at time.Time) (trips.Event, error) { return t.Reserve("theirs", at) })
		w.wantWithdrawn("ours " + GoneTaken)
		if w.fleet.held("ours") {
			t.Error("our driver stays held")
		}
	})
}

func TestGivesUpWithAReason(t *testing.T) {
	inTown(t, metresOf{}, func(w *town) {
		id := w.request("r", true)
		w.pass(3*time.Minute - time.Second)
		w.wantTrip(id, trips.Requested, "")
		w.pass(2 * time.Second)
		w.wantTrip(id, trips.Expired, ReasonNobodyNear)
		w.wantSearches(0)
	})

	inTown(t, metresOf{"no": 100}, func(w *town) {
		id := w.request("r", true)
		w.decline(w.last())
		w.pass(3*time.Minute + time.Second)
		w.wantTrip(id, trips.Expired, ReasonNobodyAccepts)
	})
}

func TestOffersPerTripAreBounded(t *testing.T) {
	inTown(t, metresOf{"a": 1, "b": 2, "c": 3}, func(w *town) {
		id := w.request("r", true)
		w.decline(w.last())
		w.decline(w.last())
		w.wantOffered("a", "b")
		w.wantTrip(id, trips.Expired, ReasonNobodyAccepts)
	}, func(c *Config) { c.MaxOffers = 2 })
}

func TestRestartPicksUpOpenTripsEvenOldOnes(t *testing.T) {
	inTown(t, metresOf{"near": 300}, func(w *town) {
		id := w.request("r", true)
		w.close()
		w.wantWithdrawn("near " + GoneWithdrawn)
		if w.fleet.held("near") {
			t.Error("a stopped dispatcher keeps its hold")
		}
		before := w.last()
		w.pass(time.Hour)
		w.open()
		w.wantOffered("near", "near")
		if w.last().Epoch <= before.Epoch {
			t.Error("the epoch does not grow")
		}
		w.accept(w.last(), true)
		w.wantTrip(id, trips.Reserved, "")
	})
}

func TestLostOwnershipStopsTheSearchAndAnotherTripsStart(t *testing.T) {
	var owns atomic.Bool
	owns.Store(true)

	inTown(t, metresOf{"near": 300}, func(w *town) {
		w.request("r", true)
		owns.Store(false)
		w.pass(2 * time.Second)
		w.wantWithdrawn("near " + GoneWithdrawn)
		w.request("s", true)
		w.wantSearches(0)
		owns.Store(true)
		w.pass(2 * time.Second)
		w.wantSearches(2)
	}, func(c *Config) { c.Owns = func(location.Region) bool { return owns.Load() } })
}

func TestDriverStaysHeldWhileTheStoreCannotSayWhetherHeAccepted(t *testing.T) {
	inTown(t, metresOf{"near": 300, "far": 900}, func(w *town) {
		w.request("r", true)
		w.pass(10 * time.Second)
		w.accept(w.last(), false)
		w.store.setDown(true)
		w.pass(30 * time.Second)
		w.wantOffered("near")
		w.store.setDown(false)
		w.pass(2 * time.Second)
		w.wantOffered("near")
		w.wantSearches(0)
	})
}

func TestExpiryIsTriedAgainWhenTheStoreWasAway(t *testing.T) {
	inTown(t, metresOf{}, func(w *town) {
		id := w.request("r", true)
		w.store.setDown(true)
		w.pass(4 * time.Minute)
		w.store.setDown(false)
		w.pass(3 * time.Second)
		w.wantTrip(id, trips.Expired, ReasonNobodyNear)
	})
}

func TestSearchesAreBoundedAndTheRestWaitsInTheStore(t *testing.T) {
	inTown(t, metresOf{"a": 1, "b": 2}, func(w *town) {
		w.request("r1", true)
		w.request("r2", true)
		w.wantSearches(1)
		if n := testutil.ToFloat64(w.d.m.dropped.WithLabelValues("searches_full")); n != 1 {
			t.Errorf("counted %v trips without room", n)
		}
		w.accept(w.last(), true)
		w.pass(2 * time.Second)
		w.wantOffered("a", "b")
	}, func(c *Config) { c.MaxSearches = 1 })
}

func TestHintNeverBlocksAndCountsWhatItDrops(t *testing.T) {
	d := New(Config{}) // not running: nobody reads the hints
	for range hintRoom + 3 {
		d.Hint(trips.Event{})
	}
	if n := testutil.ToFloat64(d.m.dropped.WithLabelValues("hints_full")); n != 3 {
		t.Errorf("counted %v dropped hints, want 3", n)
	}
}

func TestRepeatedHintsStartOneSearch(t *testing.T) {
	inTown(t, metresOf{"a": 1, "b": 2}, func(w *town) {
		id := w.request("r", true)
		trip, _ := w.store.Trip(context.Background(), id)
		for range 5 {
			w.d.Hint(trips.Event{Kind: trips.KindRequested, Trip: trip})
		}
		w.pass(5 * time.Second)
		w.wantOffered("a")
	})
}

func TestAnswersToOldOffersMeanNothing(t *testing.T) {
	inTown(t, metresOf{"a": 1, "b": 2}, func(w *town) {
		w.request("r", true)
		old := w.last()
		w.pass(15 * time.Second)
		w.decline(old)
		w.decline(Offer{ID: w.last().ID, Driver: "stranger"})
		w.wantOffered("a", "b")
	})
}
