package webtest

import (
	"context"
	"testing"
	"time"

	"github.com/ridehail/ridehail/web"
)

func ready(t *testing.T) context.Context {
	t.Helper()
	Browser(t)
	if !web.HasLibraries() {
		t.Skip("the map library is missing: run `make web`")
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func TestRiderTakesAWholeRideOnADesk(t *testing.T) {
	RideOn(ready(t), t, newFakeNode(t).URL, Desktop)
}

func TestRiderTakesAWholeRideOnAPhone(t *testing.T) {
	RideOn(ready(t), t, newFakeNode(t).URL, Phone)
}
