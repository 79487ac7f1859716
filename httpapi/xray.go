package httpapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
	"github.com/ridehail/ridehail/xray"
)

// XRay gathers what nodes recorded of rides. Its methods may be called from many
// goroutines; the gathering ones wait for other nodes, but not for long.
type XRay interface {
	// GatherRide returns false if no node knows a hop of the trip.
	GatherRide(ctx context.Context, trip trips.Trip) (xray.Ride, bool)
	GatherTrips(ctx context.Context) xray.Kept
	Median() xray.Median
}

// handleXRay serves what was recorded of rides, and the page that shows it.
func (a *API) handleXRay(mux *http.ServeMux, ride http.HandlerFunc, isOpen bool) {
	list, median := a.getXRayTrips, a.getXRayMedian
	if !isOpen {
		list, median = refuseXRay, refuseXRay
	}
	for path, get := range map[string]http.HandlerFunc{"/v1/xray": list, "/v1/xray/median": median, "/v1/xray/{id}": ride} {
		mux.Handle(path, a.guardRoute(path, methods{"GET": get}))
	}
}

// refuseXRay answers for what is no rider's or driver's business.
func refuseXRay(w http.ResponseWriter, _ *http.Request) {
	writeError(w, translate.Refuse(wire.CodeNoSuchEndpoint,
		"The rides that a node keeps are listed by its admin API, and by a node that was started with --dev-tokens."))
}

// getPublicRide tells a ride to its rider and its driver. A node that gives
// anyone a token for anybody asks for none here.
func (a *API) getPublicRide(w http.ResponseWriter, r *http.Request) {
	if a.cfg.DevTokens && r.Header.Get("Authorization") == "" {
		a.getAnyRide(w, r)
		return
	}
	a.requireRole(a.getOwnRide, trips.RoleRider, trips.RoleDriver)(w, r)
}

func (a *API) getOwnRide(r *http.Request, who trips.Actor) (int, any, error) {
	ride, err := a.gatherRide(r, func(t trips.Trip) bool { return t.Concerns(who) })
	return http.StatusOK, ride, err
}

// getAnyRide tells a ride to operators.
func (a *API) getAnyRide(w http.ResponseWriter, r *http.Request) {
	ride, err := a.gatherRide(r, func(trips.Trip) bool { return true })
	if err != nil {
		a.logAndWriteError(w, r, err)
		return
	}
	a.writeJSON(w, http.StatusOK, ride)
}

// gatherRide returns the ride that the path names, if it may be seen.
func (a *API) gatherRide(r *http.Request, mayBeSeen func(trips.Trip) bool) (ride xray.Ride, err error) {
	id, err := tripID(r)
	if err != nil {
		return ride, err
	}
	if _, err := uuid.Parse(string(id)); err != nil {
		return ride, trips.ErrNotFound
	}
	trip, err := a.cfg.Store.Trip(r.Context(), id)
	if err != nil {
		return ride, err
	}
	if !mayBeSeen(trip) {
		return ride, trips.ErrNotYours
	}

	found := false
	if a.cfg.XRay != nil {
		ride, found = a.cfg.XRay.GatherRide(r.Context(), trip)
	}
	if !found {
		return ride, translate.Refuse(wire.CodeNotTraced, a.explainNotTraced(string(id)))
	}
	return ride, nil
}

// explainNotTraced says why nothing is known of a trip.
func (a *API) explainNotTraced(id string) string {
	switch {
	case a.cfg.Tracer == nil:
		return "This node records no rides; start it with --trace-ratio 1 to record all."
	case !a.cfg.Tracer.Samples(id):
		return "This trip was not recorded: only a share of all trips is, which --trace-ratio sets; GET /v1/xray of the admin API lists those that are kept."
	}
	return "This trip is older than what is kept; GET /v1/xray of the admin API lists those that are."
}

func (a *API) getXRayTrips(w http.ResponseWriter, r *http.Request) {
	kept := xray.Kept{Trips: []xray.KeptTrip{}, Nodes: []xray.Node{}}
	if a.cfg.XRay != nil {
		kept = a.cfg.XRay.GatherTrips(r.Context())
	}
	a.writeJSON(w, http.StatusOK, kept)
}

func (a *API) getXRayMedian(w http.ResponseWriter, _ *http.Request) {
	m := xray.MedianOf(nil)
	if a.cfg.XRay != nil {
		m = a.cfg.XRay.Median()
	}
	a.writeJSON(w, http.StatusOK, m)
}
