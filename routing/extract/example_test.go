package extract_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/routing/extract"
)

// A triangle of streets.
const triangle = `<?xml version="1.0"?><osm version="0.6">
<node id="1" lon="7.40" lat="43.70"/>
<node id="2" lon="7.41" lat="43.70"/>
<node id="3" lon="7.41" lat="43.71"/>
<way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="1"/>
<tag k="highway" v="residential"/><tag k="name" v="Ring"/></way>
</osm>`

func ExampleRead() {
	dir, err := os.MkdirTemp("", "extract-example.")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	file := filepath.Join(dir, "triangle.osm")
	if err := os.WriteFile(file, []byte(triangle), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	plan, report, err := extract.Read(context.Background(), file, extract.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	city, err := routing.NewCity(plan)
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Printf("%s: %d road, %d junction kept\n", city.Name(), report.Roads, city.Kept().Junctions)
	// Output:
	// triangle: 1 road, 1 junction kept
}
