package waiting

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/ridehail/ridehail/internal/sleep"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/routing/routingpb/routingpbconnect"
)

// fate is how a service treats one call.
type fate string

const (
	fateGood fate = "good"
	fateSlow fate = "slow"
	fateFail fate = "fail"
)

// headerCall names a call, and headerFate tells its caller what was done to it.
const (
	headerCall = "Lab-Call"
	headerFate = "Lab-Fate"
)

// callID names a call: the seed and the name fix its fate, in any order of the
// calls. Calls with the try noFault are never slow and never fail.
type callID struct{ request, service, try int }

const noFault = 1 << 15

func (p fanoutPlan) drawFate(seed uint64, id callID) fate {
	if id.try == noFault {
		return fateGood
	}

	x := rand.New(rand.NewPCG(seed, uint64(id.request)<<32|uint64(id.service)<<16|uint64(id.try))).Float64()
	switch {
	case x < p.slow:
		return fateSlow
	case x < p.slow+p.fail:
		return fateFail
	}
	return fateGood
}

// mapService is a routing service that may be slow, fail or be silent.
type mapService struct {
	plan   fanoutPlan
	seed   uint64
	number int
	next   http.Handler

	silent atomic.Bool // it keeps every call until its caller gives up
	calls  atomic.Int64
}

func (s *mapService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	if readBody(w, r) != nil {
		return
	}
	if s.silent.Load() {
		<-r.Context().Done()
		return
	}

	id := callID{service: s.number}
	if _, err := fmt.Sscanf(r.Header.Get(headerCall), "%d.%d", &id.request, &id.try); err != nil {
		s.next.ServeHTTP(w, r) // the app's own client names no calls
		return
	}

	drawn := s.plan.drawFate(s.seed, id)
	w.Header().Set(headerFate, string(drawn))
	switch {
	case drawn == fateFail:
		http.Error(w, "it fails", http.StatusServiceUnavailable)
	case drawn == fateSlow && !sleep.For(r.Context(), s.plan.wait):
	default:
		s.next.ServeHTTP(w, r)
	}
}

// sentCall is a call, in its context.
type sentCall struct {
	callID
	fate fate // that the service told; empty without an answer
}

type sentCallKey struct{}

// callNamer names the calls in the requests, and reads from the answers what
// was done to them.
type callNamer struct{ next http.RoundTripper }

func (n callNamer) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Context().Value(sentCallKey{}).(*sentCall)
	r = r.Clone(r.Context())
	r.Header.Set(headerCall, fmt.Sprintf("%d.%d", call.request, call.try))
	r.Header.Del("Accept-Encoding") // to compress 20 bytes costs more than the call

	resp, err := n.next.RoundTrip(r)
	if err == nil {
		call.fate = fate(resp.Header.Get(headerFate))
	}
	return resp, err
}

// mapServices are the services of a run, with the clients of the experiment.
type mapServices struct {
	plan     fanoutPlan
	city     *routing.City
	services []*mapService
	servers  []*server
	http     *http.Client
	clients  []routingpbconnect.RoutingClient
}

// threeStreets is a map on which an answer costs next to nothing.
var threeStreets = routing.Plan{Name: "Three Streets", Roads: []routing.Road{
	{Points: []location.Point{corners[0], corners[1]}}, {Points: []location.Point{corners[1], corners[2]}},
	{Points: []location.Point{corners[2], corners[0]}}}}

var corners = [...]location.Point{{Lng: 3.4, Lat: 6.4}, {Lng: 3.405, Lat: 6.4}, {Lng: 3.405, Lat: 6.405}}

// openServices starts the services. The caller must Close them.
func openServices(plan fanoutPlan, seed uint64) (*mapServices, error) {
	city, err := routing.NewCity(threeStreets)
	if err != nil {
		return nil, err
	}

	m := &mapServices{plan: plan, city: city, http: newClient(2)}
	router, named := routing.NewRouter(city), &http.Client{Transport: callNamer{m.http.Transport}}
	for i := range plan.services {
		s := &mapService{plan: plan, seed: seed, number: i, next: routing.NewHandler(router)}
		at, err := serveHandler(s)
		if err != nil {
			m.Close()
			return nil, err
		}
		m.services, m.servers = append(m.services, s), append(m.servers, at)
		m.clients = append(m.clients, routingpbconnect.NewRoutingClient(named, at.URL))
	}
	return m, nil
}

func (m *mapServices) Close() {
	m.http.CloseIdleConnections()
	for _, s := range m.servers {
		s.Close()
	}
}

// countCalls returns how many calls the services got.
func (m *mapServices) countCalls() (n int64) {
	for _, s := range m.services {
		n += s.calls.Load()
	}
	return n
}

// listAddresses names the ports of the services.
func (m *mapServices) listAddresses() string {
	first, last := m.servers[0].Addr, m.servers[len(m.servers)-1].Addr
	if first == last {
		return first
	}
	return first + " to " + last[strings.LastIndexByte(last, ':'):]
}
