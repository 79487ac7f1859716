// Package httpapi answers HTTP: the public API of riders and drivers, and the
// admin API with the operators' page. The sockets' endpoint is handed to it.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/booking"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/payments"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/web"
)

// Config is what an API is built from. Its functions may be called from many
// goroutines.
type Config struct {
	// The node's other parts, which the API asks and calls.
	Trips    *trips.Service
	Store    trips.Store
	Room     *chat.Room
	Receipts payments.Store
	Alerts   sos.Store
	Drivers  *sharedstate.Drivers
	// LookAround asks other nodes for the cars in areas and puts them into
	// Drivers, and returns how many were asked. It may block for a moment; nil:
	// all cars are in Drivers.
	LookAround  func(ctx context.Context, areas []sharedstate.Area) (asked int)
	Booking     *booking.Service
	Tokens      *auth.Tokens
	Revocations *auth.Revocations
	Suspects    *Suspects

	Socket  http.HandlerFunc        // the sockets' endpoint
	Webhook http.Handler            // hears the payment provider; nil: there is none
	City    City                    // nil: no map is served
	Pages   map[string]http.Handler // more of the public API, by path
	Live    http.Handler            // streams what the mechanisms do; nil: none
	// Ready returns why the node should get no traffic, in words for operators.
	// It may block until ctx ends; nil: the node always should.
	Ready func(context.Context) error

	DevTokens  bool          // give tokens to anyone, for development
	TimeScale  float64       // seconds of a simulated city in a second; 0 is 1
	BodyWithin time.Duration // for all of a request's body to arrive; 0: 5 s
	Registerer prometheus.Registerer
	Tracer     *tracing.Tracer // nil: no hop is recorded
	XRay       XRay            // nil: nothing is known of any ride
	Now        func() time.Time
	Log        *slog.Logger
}

const (
	defaultBodyWithin = 5 * time.Second
	maxBody           = 4 << 10
	handlerTimeout    = 10 * time.Second
	pageSize          = 50  // trips or receipts
	historySize       = 200 // chat messages
	nearbyMost        = 20
	nearbyReach       = 5000 // metres
)

// API answers HTTP. It keeps nothing but the rates of its users, and whether it
// was ready.
type API struct {
	cfg     Config
	limiter *userLimiter
	seconds *prometheus.HistogramVec // of requests, by route, method and status
	// readiness is what was last said of it.
	readiness *readinessLog
}

// New builds an API.
func New(cfg Config) *API {
	if cfg.BodyWithin == 0 {
		cfg.BodyWithin = defaultBodyWithin
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}

	seconds := promauto.With(cfg.Registerer).NewHistogramVec(prometheus.HistogramOpts{Name: "ridehail_gateway_http_seconds",
		Help: "HTTP requests by route, method and status.", Buckets: prometheus.DefBuckets}, []string{"route", "method", "status"})
	return &API{cfg: cfg, limiter: newUserLimiter(cfg.Now), seconds: seconds,
		readiness: &readinessLog{now: cfg.Now, log: cfg.Log}}
}

// Public is the API of riders and drivers: /v1/…, the page, health.
func (a *API) Public() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, m methods) { mux.Handle(path, a.guardRoute(path, a.cfg.Tracer.Handler(path, m))) }
	handle("/v1/quotes", methods{"POST": a.requireRole(a.postQuote, trips.RoleRider)})
	handle("/v1/surge", methods{"GET": a.getSurge})
	handle("/v1/trips", methods{"POST": a.requireRole(a.postTrip, trips.RoleRider),
		"GET": a.requireRole(a.listTrips, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}", methods{"GET": a.requireRole(a.getTrip, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}/cancel", methods{"POST": a.requireRole(a.cancelTrip, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/trips/{id}/chat", methods{"GET": a.requireRole(a.listChat, trips.RoleRider, trips.RoleDriver)})
	handle("/v1/nearby", methods{"GET": a.requireRole(a.listNearby, trips.RoleRider)})
	handle("/v1/receipts", methods{"GET": a.requireRole(a.listReceipts, trips.RoleRider)})
	if a.cfg.Webhook != nil {
		mux.Handle(webhookPath, a.webhook())
	}

	if a.cfg.City != nil {
		d := newCityDrawing(a.cfg.City)
		handle("/v1/map", methods{"GET": a.getMap(d)})
		handle("/v1/city", methods{"GET": d.getGeoJSON})
		handle("/v1/tiles/{z}/{x}/{y}", methods{"GET": a.getTile(d)})
	}

	a.handleXRay(mux, a.getPublicRide, a.cfg.DevTokens)
	handle("/v1/protocol/ridehail.proto", methods{"GET": getSchema})
	if a.cfg.DevTokens {
		a.mountLive(mux)
	}
	handle("/v1/dev/tokens", methods{"POST": a.postDevToken})
	handle("/healthz", methods{"GET": a.getHealth})
	handle("/readyz", methods{"GET": a.getReady(false)})
	handle("/v1/", unknownEndpoint())
	mux.HandleFunc("/v1/ws", a.cfg.Socket)
	for path, page := range a.cfg.Pages {
		mux.Handle(path, page)
	}
	mountXray(mux)
	mux.Handle("/", web.Handler())
	return mux
}

// mountXray adds the page that shows one ride hop by hop. What it reads is
// refused or served elsewhere.
func mountXray(mux *http.ServeMux) {
	page := web.XrayHandler()
	mux.Handle("/xray", page)
	mux.Handle("/xray/", page)
}

// mountLive serves the live feed. It lasts as long as its watcher wants, so that
// the limits of other requests are not for it.
func (a *API) mountLive(mux *http.ServeMux) {
	if a.cfg.Live != nil {
		mux.Handle("/v1/xray/live", methods{"GET": a.cfg.Live.ServeHTTP})
	}
}

// City is what a page needs to draw a city: whole as GeoJSON, or in vector
// tiles if that is too big.
type City interface {
	Name() string
	Attribution() string // whom to thank for the data; may be empty
	Bounds() (min, max location.Point)
	GeoJSON() []byte
	Tiled() bool
	TileZooms() (min, max uint32)
	// Tile returns a gzipped vector tile, empty where nothing is drawn, or
	// routing.ErrNoTile.
	Tile(z, x, y uint32) ([]byte, error)
}
