package simulation

import (
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/pricing"
)

// Result is the outcome of one run. It depends on the Config alone. Wishes are
// people who looked at the price of a ride; some of them went away because of
// the price, and some wanted to go where no road leads. WaitS is from a request
// until the car is there, ReserveS until a driver accepted. Utilisation is the
// share of the drivers' time on duty with a rider in the car. Surge is over the
// prices that were shown.
type Result struct {
	Policy      string    `json:"policy"`
	Owners      int       `json:"owners"`
	Seed        uint64    `json:"seed"`
	Wishes      int       `json:"wishes"`
	PricedOut   int       `json:"priced_out"`
	NoWay       int       `json:"no_way"`
	Requests    int       `json:"requests"`
	Completed   int       `json:"completed"`
	Expired     int       `json:"expired"`   // no driver was found in time
	Cancelled   int       `json:"cancelled"` // by riders whose patience ended
	Open        int       `json:"open"`      // still under way at the end
	Offers      int       `json:"offers"`
	Declined    int       `json:"declined"`
	Refused     int       `json:"refused_offers"`    // another owner held the driver
	OfferShare  float64   `json:"offers_max_by_min"` // of the owners with most and least
	WaitS       Quantiles `json:"pickup_wait_s"`
	ReserveS    Quantiles `json:"reserve_s"`
	EmptyKm     float64   `json:"empty_km"`
	LoadedKm    float64   `json:"loaded_km"`
	Utilisation float64   `json:"utilisation"`
	Revenue     int64     `json:"revenue_minor"`
	Surge       float64   `json:"surge_mean"`
	SurgeMax    float64   `json:"surge_max"`
	Windows     int       `json:"windows"`
	WindowMean  float64   `json:"window_mean"` // trips in a window
	WindowMax   int       `json:"window_max"`
	ByAir       ByAir     `json:"nearest_by_air"`

	Waits []time.Duration `json:"-"` // sorted
}

// ByAir tells how often the free driver nearest by air would not be the first
// at the pickup by road, and how much later that driver would be than the first
// one.
type ByAir struct {
	Asked int     `json:"asked"` // requests with two free drivers or more
	Wrong float64 `json:"wrong"` // share of these
	MeanS float64 `json:"mean_s"`
	P90S  float64 `json:"p90_s"`
}

// Quantiles are those of package quantile that the report prints.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	Max float64 `json:"max"`
}

// stats are the counters of a world.
type stats struct {
	wishes, pricedOut, noWay, requests, completed, expired, cancelled, offers, declined, refused int
	waits, reserves                                                                              []time.Duration
	// empty and loaded are in metres.
	empty, loaded             float64
	revenue                   int64
	prices                    int64
	highest                   pricing.Multiplier
	windows, matched, largest int
	// compared counts the requests with a choice.
	compared int
	detours  []time.Duration // of the nearest by air, if not the first
}

func (s *stats) countPrice(m pricing.Multiplier) {
	s.prices += int64(m)
	s.highest = max(s.highest, m)
}

func (s *stats) countReserved(after time.Duration) { s.reserves = append(s.reserves, after) }

func (s *stats) countWindow(trips int) {
	s.windows++
	s.matched += trips
	s.largest = max(s.largest, trips)
}

func (w *world) buildResult() Result {
	s := &w.stats
	out := Result{Policy: w.policy.Name, Owners: len(w.owners), Seed: w.cfg.Seed, Wishes: s.wishes, PricedOut: s.pricedOut, NoWay: s.noWay, Requests: s.requests,
		Completed: s.completed, Expired: s.expired, Cancelled: s.cancelled,
		Open:   s.requests - s.completed - s.expired - s.cancelled,
		Offers: s.offers, Declined: s.declined, Refused: s.refused, OfferShare: w.compareOwners(), WaitS: computeQuantiles(s.waits), ReserveS: computeQuantiles(s.reserves),
		LoadedKm: s.loaded / 1000, Revenue: s.revenue, SurgeMax: s.highest.Factor(),
		Windows: s.windows, WindowMax: s.largest, Waits: s.waits}

	if s.wishes > 0 {
		out.Surge = float64(s.prices) / float64(s.wishes) / float64(pricing.NoSurge)
	}
	if s.windows > 0 {
		out.WindowMean = float64(s.matched) / float64(s.windows)
	}

	out.ByAir = s.summarizeByAir()
	var duty, load time.Duration
	for _, c := range w.fleet {
		if c.route != nil && c.onShift {
			_, metres := travelAlong(c.route, w.now.Sub(c.departedAt))
			s.empty += metres
		}
		if c.onShift {
			c.dutyTime += w.now.Sub(c.shiftBegins)
		}
		duty, load = duty+c.dutyTime, load+c.loadedTime
	}

	out.EmptyKm = s.empty / 1000
	if duty > 0 {
		out.Utilisation = load.Seconds() / duty.Seconds()
	}
	return out
}

// computeQuantiles sorts its argument in place.
func computeQuantiles(ds []time.Duration) Quantiles {
	s := quantile.Sort(ds)
	return Quantiles{P50: s.At(.5).Seconds(), P90: s.At(.9).Seconds(), Max: s.Max().Seconds()}
}

func (s *stats) summarizeByAir() ByAir {
	out := ByAir{Asked: s.compared}
	if len(s.detours) == 0 {
		return out
	}

	var sum time.Duration
	for _, d := range s.detours {
		sum += d
	}
	out.Wrong = float64(len(s.detours)) / float64(s.compared)
	out.MeanS = sum.Seconds() / float64(len(s.detours))
	out.P90S = computeQuantiles(s.detours).P90
	return out
}
