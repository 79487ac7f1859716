package location_test

import (
	"fmt"
	"time"

	"github.com/ridehail/ridehail/location"
)

// A point lies in one cell. The cell's hexagon answers most later questions
// without another call of H3.
func ExampleCellOf() {
	point := location.Point{Lng: 3.3958, Lat: 6.4531}
	cell, err := location.CellOf(point)
	if err != nil {
		fmt.Println(err)
		return
	}

	hexagon, err := location.HexagonOf(cell)
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println("cell", cell, "in", cell.ParentCell())
	fmt.Println("surely in the cell:", hexagon.Contains(point))
	fmt.Printf("%.0f m from its centre\n", location.MetresBetween(point, hexagon.Centre))

	// Output:
	// cell 89589c99e07ffff in 87589c99effffff
	// surely in the cell: true
	// 146 m from its centre
}

// A node filters each driver's fixes and keeps the last accepted one.
func ExampleFixFilter() {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	fixes := []location.Fix{
		{Point: location.Point{Lng: 3.3958, Lat: 6.4531}, At: noon},
		{Point: location.Point{Lng: 3.3959, Lat: 6.4531}, At: noon.Add(time.Second)},
		{Point: location.Point{Lng: 3.5000, Lat: 6.4531}, At: noon.Add(2 * time.Second)},
		{Point: location.Point{Lng: 3.3960, Lat: 6.4531}, At: noon.Add(time.Second)},
		{Point: location.Point{Lng: 3.3961, Lat: 6.4531}, At: noon.Add(3 * time.Second)},
	}

	filter := location.DefaultFixFilter()
	var last location.Fix
	for i, fix := range fixes {
		reason := filter.Accept(last, i > 0, fix, fix.At)
		if reason != location.Accepted {
			fmt.Println("fix", i, "refused:", reason)
			continue
		}
		fmt.Println("fix", i, "accepted")
		last = fix
	}

	// Output:
	// fix 0 accepted
	// fix 1 accepted
	// fix 2 refused: teleport
	// fix 3 refused: stale
	// fix 4 accepted
}
