package doors

import (
	"strings"

	"github.com/ridehail/ridehail/lab/line"
)

// openMeter opens a line without a delay to a server, which counts what it
// carries. It returns the URL of its near end too.
func openMeter(server string) (meter *line.Line, url string, err error) {
	if meter, err = line.Open(strings.TrimPrefix(server, "http://"), line.Spec{}, 0); err != nil {
		return nil, "", err
	}
	return meter, "http://" + meter.Address(), nil
}

// countBytes returns what a line has carried, both ways.
func countBytes(meter *line.Line) float64 {
	s := meter.Stats()
	return float64(s.Up.Bytes + s.Down.Bytes)
}
