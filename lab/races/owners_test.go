package races

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/lab/finding"
	"github.com/ridehail/ridehail/trips"
)

// runSmall returns the figures of a short run, and its finding.
func runSmall(t *testing.T) (f ownerFigures, found finding.Finding) {
	t.Helper()
	found = perform(t, Owners(), map[string]string{"rounds": "4", "lease": "80", "pause": "160"})
	text, err := json.Marshal(found.Figures)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f, found
}

// The claims, by their places.
const unfencedWrites, fencedWrites, oneOwner, shortStops = 0, 1, 2, 3

func TestOnlyAFenceStopsAnOwnerThatWakesLate(t *testing.T) {
	f, found := runSmall(t)
	checkHolds(t, found, 4)
	if found.Seen != "B" {
		t.Errorf("seen %q", found.Seen)
	}

	swapped := f
	swapped.Fenced, swapped.Unfenced = f.Unfenced, f.Fenced
	if got := failing(judgeOwners(swapped)); !slices.Equal(got, []int{unfencedWrites, fencedWrites}) {
		t.Errorf("the broken store in the repaired one's place: claims %v fail", got)
	}
	bad := f
	bad.Fenced = f.Unfenced
	if got := failing(judgeOwners(bad)); !slices.Equal(got, []int{fencedWrites}) {
		t.Errorf("no fence at all: claims %v fail", got)
	}
	bad.Fenced, bad.Unfenced = f.Fenced, f.Fenced
	if got := failing(judgeOwners(bad)); !slices.Equal(got, []int{unfencedWrites}) {
		t.Errorf("a fence in both: claims %v fail", got)
	}
}

func TestAStopShorterThanTheLeaseTakesNothing(t *testing.T) {
	found := perform(t, Owners(), map[string]string{"rounds": "2", "lease": "100", "pause": "40"})
	checkHolds(t, found, 2)
	if found.Seen != "" {
		t.Errorf("seen %q, though no stop was long", found.Seen)
	}
}

// generousOutbox gives the lease to each who asks.
type generousOutbox struct{ trips.Outbox }

func (generousOutbox) AcquireShards(_ context.Context, claim trips.ShardClaim) ([]string, error) {
	return []string{claim.Holder}, nil
}

func TestALeaseThatIsGivenTwiceIsSeen(t *testing.T) {
	f, _ := runSmall(t)
	s := &ownerScene{lease: time.Minute}
	for _, holder := range []string{first, second} {
		if _, err := s.acquireLease(t.Context(), generousOutbox{}, holder, s.lease); err != nil {
			t.Fatal(err)
		}
	}
	if f.Fenced[0].Overlaps = s.countOverlaps(); f.Fenced[0].Overlaps != 1 {
		t.Errorf("%d overlaps", f.Fenced[0].Overlaps)
	}
	if got := failing(judgeOwners(f)); !slices.Equal(got, []int{oneOwner}) {
		t.Errorf("claims %v fail", got)
	}
}

func TestAShortStopThatCostsTheLeaseIsSeen(t *testing.T) {
	f, _ := runSmall(t)
	for _, spoil := range []func(*ownerRound){
		func(r *ownerRound) { r.Accepted = false },
		func(r *ownerRound) { r.TakenOver = true },
	} {
		bad := f
		bad.Fenced = slices.Clone(f.Fenced)
		spoil(&bad.Fenced[0])
		if got := failing(judgeOwners(bad)); !slices.Equal(got, []int{shortStops}) {
			t.Errorf("claims %v fail", got)
		}
	}
}

func TestNoStopIsAboutAsLongAsTheLease(t *testing.T) {
	const lease = 100 * time.Millisecond
	for rounds := 2; rounds <= 20; rounds++ {
		for i := range rounds {
			pause := choosePause(i, rounds, 2*lease, lease)
			if pause > lease*4/5 && pause < lease*6/5 {
				t.Errorf("round %d of %d stops for %v", i, rounds, pause)
			}
		}
	}
}
