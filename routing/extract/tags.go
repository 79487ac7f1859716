package extract

import (
	"slices"
	"strconv"
	"strings"

	"github.com/paulmach/osm"

	"github.com/ridehail/ridehail/routing"
)

// kind describes a value of highway=* for a car.
type kind struct {
	class routing.Class
	kmh   float64 // driven when nothing else is known
}

// highways lists the values that cars drive on; any other value (footway,
// track, construction, proposed, …) is not a road. The speeds are those of the
// car profile that the OSRM project ships, which are below the signed limits.
var highways = map[string]kind{
	"motorway": {routing.Motorway, 90}, "motorway_link": {routing.Motorway, 45},
	"trunk": {routing.Motorway, 85}, "trunk_link": {routing.Motorway, 40},
	"primary": {routing.Arterial, 65}, "primary_link": {routing.Arterial, 30},
	"secondary": {routing.Arterial, 55}, "secondary_link": {routing.Arterial, 25},
	"tertiary": {routing.Arterial, 40}, "tertiary_link": {routing.Arterial, 20},
	"unclassified": {routing.Street, 25}, "residential": {routing.Street, 25}, "road": {routing.Street, 25},
	"living_street": {routing.Street, 10}, "service": {routing.Street, 15},
}

const (
	// keptShare is the share of a signed limit that traffic reaches, as in the
	// same profile.
	keptShare = 0.8
	yardKmh   = 10 // driveways and rows of parked cars
	mile      = 1.609344
	knot      = 1.852
	// metres per second; a road slower than a walk is a wrong sign
	leastMs = 1.5
	mostMs  = 50
)

// rule is a road's properties as its tags give them.
type rule struct {
	class   routing.Class
	speed   float64 // metres per second
	oneWay  bool
	against bool // one way, but in the order opposite to the nodes'
	bridge  bool
	name    string
}

// parseRoad reads the tags of a way; ok is false when cars do not drive there.
func parseRoad(tags osm.Tags) (r rule, ok bool) {
	highway := tags.Find("highway")
	k, known := highways[highway]
	if !known || tags.Find("area") == "yes" || !isOpen(tags) || tags.Find("service") == "emergency_access" {
		return r, false
	}

	kmh := k.kmh
	switch tags.Find("service") {
	case "driveway", "parking_aisle", "drive-through", "alley":
		kmh = yardKmh
	}

	if limit, ok := parseLimit(tags.Find("maxspeed")); ok {
		kmh = limit * keptShare
	}
	r = rule{class: k.class, speed: max(leastMs, min(mostMs, kmh/3.6)), name: tags.Find("name")}
	if r.name == "" {
		r.name = tags.Find("ref")
	}

	bridge := tags.Find("bridge")
	r.bridge = bridge != "" && bridge != "no"
	junction := tags.Find("junction")
	switch tags.Find("oneway") {
	case "yes", "true", "1":
		r.oneWay = true
	case "-1", "reverse":
		r.oneWay, r.against = true, true
	case "reversible", "alternating":
		return r, false // its direction at the time is not known
	case "no", "false", "0":
	default:
		r.oneWay = highway == "motorway" || highway == "motorway_link" || junction == "roundabout" || junction == "circular"
	}
	return r, true
}

// accessKeys go from the most specific to the most general; the first that is
// present decides.
var accessKeys = [...]string{"motorcar", "motor_vehicle", "vehicle", "access"}

// closed are the values that forbid any other than the owner's car.
// destination, customers, permissive and the rest allow it.
var closed = []string{"no", "private", "agricultural", "forestry", "emergency", "psv", "bus", "military", "delivery", "permit",
	"residents"}

func isOpen(tags osm.Tags) bool {
	for _, key := range accessKeys {
		if v := tags.Find(key); v != "" {
			return !slices.Contains(closed, v)
		}
	}
	return true
}

// passable are barriers that let a car through unless another tag forbids it.
var passable = []string{"cattle_grid", "border_control", "toll_booth", "sally_port", "gate", "lift_gate", "entrance",
	"height_restrictor", "kerb", "no"}

// isBlocked says whether a node stops cars.
func isBlocked(tags osm.Tags) bool {
	barrier := tags.Find("barrier")
	if barrier == "" {
		return false
	}

	for _, key := range accessKeys {
		if v := tags.Find(key); v != "" {
			return slices.Contains(closed, v)
		}
	}

	return !slices.Contains(passable, barrier) || tags.Find("locked") == "yes"
}

// national holds the limits behind values such as FR:urban, in km/h: those of
// most countries, and the exceptions.
var national = map[string]float64{
	"urban": 50, "rural": 90, "trunk": 110, "motorway": 130, "living_street": 20, "bicycle_road": 30, "walk": 7,
	"FR:rural": 80, "DE:rural": 100, "AT:rural": 100, "GB:nsl_single": 60 * mile, "GB:nsl_dual": 70 * mile,
	"GB:motorway": 70 * mile, "NG:urban": 50, "NG:trunk": 80, "NG:motorway": 100, "DE:motorway": 130, "RU:urban": 60,
}

// parseLimit reads maxspeed=*: 50, "30 mph", "20 knots", FR:urban, zone:30,
// walk, none.
func parseLimit(v string) (kmh float64, ok bool) {
	v, _, _ = strings.Cut(strings.TrimSpace(v), ";")
	switch v {
	case "":
		return 0, false
	case "none":
		return 130, true
	}

	if limit, ok := national[v]; ok {
		return limit, true
	}

	if country, form, ok := strings.Cut(v, ":"); ok {
		if limit, ok := national[strings.ToUpper(country)+":"+form]; ok {
			return limit, true
		}
		if limit, ok := national[form]; ok {
			return limit, true
		}
		v = strings.TrimPrefix(form, "zone") // DE:zone30, and zone:30 below
	}

	factor := 1.0
	for suffix, f := range map[string]float64{"mph": mile, "knots": knot, "km/h": 1} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			v, factor = strings.TrimSpace(number), f
		}
	}

	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 1 && n <= 200) {
		return 0, false
	}
	return n * factor, true
}

// areaKind returns what a closed line or a multipolygon with these tags is on
// the map, or "".
func areaKind(tags osm.Tags) string {
	switch tags.Find("natural") {
	case "water", "bay":
		return routing.Water
	case "wood", "grassland", "heath", "scrub":
		return routing.Park
	}

	switch tags.Find("waterway") {
	case "riverbank", "dock":
		return routing.Water
	}

	switch tags.Find("landuse") {
	case "reservoir", "basin":
		return routing.Water
	case "grass", "forest", "recreation_ground", "village_green", "cemetery", "meadow":
		return routing.Park
	}

	switch tags.Find("leisure") {
	case "park", "garden", "golf_course", "nature_reserve", "playground":
		return routing.Park
	}

	return ""
}

// districts are the values of place=* whose names a map shows.
var districts = []string{"city", "town", "village", "borough", "suburb", "quarter", "neighbourhood", "hamlet", "island"}

// rideDraw returns how many rides a place attracts, relative to a café; 0 for
// none.
func rideDraw(tags osm.Tags) float64 {
	switch tags.Find("amenity") {
	case "restaurant", "cafe", "bar", "pub", "fast_food", "place_of_worship", "bank", "school":
		return 1
	case "cinema", "theatre", "nightclub", "casino", "marketplace", "townhall", "conference_centre":
		return 4
	case "hospital", "university", "ferry_terminal", "bus_station":
		return 8
	}

	switch tags.Find("railway") {
	case "station", "halt":
		return 12
	case "tram_stop", "subway_entrance":
		return 3
	}

	switch tags.Find("aeroway") {
	case "terminal", "aerodrome", "heliport":
		return 20
	}

	switch tags.Find("tourism") {
	case "hotel", "museum", "attraction":
		return 4
	case "hostel", "guest_house", "zoo", "theme_park":
		return 2
	}

	switch tags.Find("leisure") {
	case "stadium", "sports_centre", "marina":
		return 4
	}

	switch tags.Find("shop") {
	case "":
	case "mall", "department_store", "supermarket":
		return 6
	default:
		return 1
	}

	if tags.Find("office") != "" {
		return 1
	}
	return 0
}
