package lagoon

// Generate makes the city of a seed.
func Generate(seed uint64) *City {
	c := &City{Name: "Lagoon City"}
	const n, step = 60, 130.0
	for i := -n; i <= n; i++ {
		var h, v []XY
		for j := -n; j <= n; j++ {
			h = append(h, XY{float64(j) * step, float64(i) * step})
			v = append(v, XY{float64(i) * step, float64(j) * step})
		}
		c.Roads = append(c.Roads, Road{Line: h}, Road{Line: v})
	}
	c.Districts = []Place{{Name: "Marina"}}
	c.Hotspots = []Place{{Name: "Marina", Weight: 1}}
	return c
}
