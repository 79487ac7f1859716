package extract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/routing"
)

// Summary is what an import read and wrote.
type Summary struct {
	City        string           `json:"city"`
	File        string           `json:"file"`
	Bytes       int64            `json:"bytes"`
	Seconds     float64          `json:"seconds"`
	Read        Report           `json:"read"`
	Kept        routing.Kept     `json:"kept"`
	Straight    routing.Straight `json:"straight"`
	Tiled       bool             `json:"tiled"`
	Attribution string           `json:"attribution"`
}

// Import reads an extract and writes the city made of it to a city file; an
// empty output stands for the extract's name with the ending .city. Use
// IsInputError to tell an extract that cannot be used from other failures.
func Import(ctx context.Context, file, output string, opts Options) (Summary, error) {
	began := time.Now()
	plan, report, err := Read(ctx, file, opts)
	if err != nil {
		return Summary{}, importError(file, err)
	}

	city, err := routing.NewCity(plan)
	if err != nil {
		return Summary{}, importError(file, err)
	}

	if output == "" {
		base, _, _ := strings.Cut(filepath.Base(file), ".")
		output = filepath.Join(filepath.Dir(file), base+".city")
	}

	size, err := city.SaveFile(output)
	if err != nil {
		return Summary{}, err
	}

	return Summary{City: city.Name(), File: output, Bytes: size, Seconds: time.Since(began).Seconds(), Read: report,
		Kept: city.Kept(), Straight: city.Straight(), Tiled: city.Tiled(), Attribution: city.Attribution()}, nil
}

// inputError is an error that comes from the extract itself.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// IsInputError says whether an error of Import comes from the extract itself:
// it does not exist, is damaged, or no city can be made of it.
func IsInputError(err error) bool { return errors.As(err, new(inputError)) }

func importError(file string, err error) error {
	named := fmt.Errorf("%s cannot be imported: %w", file, err)
	if errors.As(err, new(*Error)) || errors.Is(err, routing.ErrPlan) || errors.Is(err, os.ErrNotExist) {
		return inputError{named}
	}
	return named
}

// Text formats the summary for a person.
func (s Summary) Text() string {
	var b strings.Builder
	k, r := s.Kept, s.Read
	fmt.Fprintf(&b, "%s: kept %d of %d junctions and %.1f %% of %.0f km; %d of %d roads lead nowhere and back\n", s.City,
		k.Junctions, k.OfJunctions, 100*k.Metres/k.OfMetres, k.OfMetres/1000, k.LostRoads, r.Roads)
	fmt.Fprintf(&b, "%d areas, %d districts, %d hot spots; %d barriers close a road, %d turn restrictions are not obeyed\n",
		r.Areas, r.Districts, r.Hotspots, r.Barriers, r.Restrictions)
	if left := r.MissingNodes + r.BadNodes + r.Repeated + r.BrokenAreas; left > 0 {
		fmt.Fprintf(&b, "left out: %d nodes outside the extract, %d not on Earth, %d elements given twice, %d outlines that do not close\n",
			r.MissingNodes, r.BadNodes, r.Repeated, r.BrokenAreas)
	}
	fmt.Fprintf(&b, "by road a way is %.2f times as long as by air, at %.0f km/h\n", s.Straight.Factor, s.Straight.Speed*3.6)
	fmt.Fprintf(&b, "wrote %s, %.0f kB, in %.1f s\n%s\n", s.File, float64(s.Bytes)/1e3, s.Seconds, s.Attribution)
	return b.String()
}
