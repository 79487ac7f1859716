package simulation

import (
	"time"

	"github.com/ridehail/ridehail/internal/quantile"
	"github.com/ridehail/ridehail/pricing"
)

// Result is what became of a city's hours. Everything in it follows from the Config alone.
type Result struct {
	Policy      string    `json:"policy"`
	Seed        uint64    `json:"seed"`
	Wishes      int       `json:"wishes"`     // people who looked at the price of a ride
	PricedOut   int       `json:"priced_out"` // of these, walked away from it
	NoWay       int       `json:"no_way"`     // of these, wanted to go where no road leads
	Requests    int       `json:"requests"`
	Completed   int       `json:"completed"`
	Expired     int       `json:"expired"`   // nobody was found in time
	Cancelled   int       `json:"cancelled"` // by riders whose patience ended
	Open        int       `json:"open"`      // still under way at the end
	Offers      int       `json:"offers"`
	Declined    int       `json:"declined"`
	WaitS       Quantiles `json:"pickup_wait_s"` // from the request until the car is there, of those it came to
	ReserveS    Quantiles `json:"reserve_s"`     // from the request until a driver accepted
	EmptyKm     float64   `json:"empty_km"`
	LoadedKm    float64   `json:"loaded_km"`
	Utilisation float64   `json:"utilisation"` // share of the drivers' time on duty with a rider in the car
	Revenue     int64     `json:"revenue_minor"`
	Surge       float64   `json:"surge_mean"` // of the prices that people were shown
	SurgeMax    float64   `json:"surge_max"`
	Windows     int       `json:"windows"`
	WindowMean  float64   `json:"window_mean"` // trips in a window
	WindowMax   int       `json:"window_max"`
	ByAir       ByAir     `json:"nearest_by_air"`

	Waits []time.Duration `json:"-"` // sorted
}

// ByAir is how often the free driver who is nearest by air, when somebody asks, is not the first at the pickup by road, and
// how much longer than the first one that driver takes then.
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

// stats is what a world counts.
type stats struct {
	wishes, pricedOut, noWay, requests, completed, expired, cancelled, offers, declined int
	waits, reserves                                                                     []time.Duration
	empty, loaded                                                                       float64 // metres
	revenue                                                                             int64
	prices                                                                              int64
	highest                                                                             pricing.Multiplier
	windowed, matched, largest                                                          int
	compared                                                                            int             // requests with a choice
	detours                                                                             []time.Duration // of the nearest by air, where not the first
}

func (s *stats) priced(m pricing.Multiplier) {
	s.prices += int64(m)
	s.highest = max(s.highest, m)
}

func (s *stats) reserved(after time.Duration) { s.reserves = append(s.reserves, after) }

func (s *stats) windows(trips int) {
	s.windowed++
	s.matched += trips
	s.largest = max(s.largest, trips)
}

func (w *world) result() Result {
	s := &w.stats
	out := Result{Policy: w.policy.Name, Seed: w.cfg.Seed, Wishes: s.wishes, PricedOut: s.pricedOut, NoWay: s.noWay, Requests: s.requests,
		Completed: s.completed, Expired: s.expired, Cancelled: s.cancelled,
		Open:   s.requests - s.completed - s.expired - s.cancelled,
		Offers: s.offers, Declined: s.declined, WaitS: quantiles(s.waits), ReserveS: quantiles(s.reserves),
		LoadedKm: s.loaded / 1000, Revenue: s.revenue, SurgeMax: s.highest.Factor(),
		Windows: s.windowed, WindowMax: s.largest, Waits: s.waits}
	if s.wishes > 0 {
		out.Surge = float64(s.prices) / float64(s.wishes) / float64(pricing.Plain)
	}
	if s.windowed > 0 {
		out.WindowMean = float64(s.matched) / float64(s.windowed)
	}
	out.ByAir = s.byAir()
	var duty, load time.Duration
	for _, c := range w.fleet {
		if c.way != nil && c.on {
			_, metres := along(c.way, w.now.Sub(c.left))
			s.empty += metres
		}
		if c.on {
			c.onDuty += w.now.Sub(c.begins)
		}
		duty, load = duty+c.onDuty, load+c.withLoad
	}
	out.EmptyKm = s.empty / 1000
	if duty > 0 {
		out.Utilisation = load.Seconds() / duty.Seconds()
	}
	return out
}

// quantiles sorts what it is given.
func quantiles(ds []time.Duration) Quantiles {
	s := quantile.Sort(ds)
	return Quantiles{P50: s.At(.5).Seconds(), P90: s.At(.9).Seconds(), Max: s.Max().Seconds()}
}

func (s *stats) byAir() ByAir {
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
	out.P90S = quantiles(s.detours).P90
	return out
}
