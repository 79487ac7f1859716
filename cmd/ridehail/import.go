package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridehail/ridehail/routing"
	"github.com/ridehail/ridehail/routing/extract"
)

type importCmd struct {
	File   string `arg:"" help:"An OpenStreetMap extract: .osm, .osm.gz or .osm.pbf." type:"path"`
	Output string `short:"o" help:"The city file. Default: the extract's name with .city." placeholder:"FILE.city" type:"path"`
	Name   string `help:"What the city is called. Default: the extract's name." placeholder:"TEXT"`
	JSON   bool   `help:"Print one JSON object."`
}

func (importCmd) Help() string {
	return "Example: ridehail import monaco.osm.gz -o monaco.city && ridehail demo --city monaco.city"
}

// imported is the summary of an import.
type imported struct {
	City        string           `json:"city"`
	File        string           `json:"file"`
	Bytes       int64            `json:"bytes"`
	Seconds     float64          `json:"seconds"`
	Read        extract.Report   `json:"read"`
	Kept        routing.Kept     `json:"kept"`
	Straight    routing.Straight `json:"straight"`
	Tiled       bool             `json:"tiled"`
	Attribution string           `json:"attribution"`
}

func (c *importCmd) Run(ctx context.Context, p *process) error {
	began := time.Now()
	bar := newBar(p.logs)
	plan, report, err := extract.Read(ctx, c.File, extract.Options{Name: c.Name, Progress: bar.at})
	bar.end()
	if err != nil {
		return importFailed(c.File, err)
	}
	city, err := routing.NewCity(plan)
	if err != nil {
		return importFailed(c.File, err)
	}
	sum := imported{City: city.Name(), File: c.Output, Read: report, Kept: city.Kept(), Straight: city.Straight(),
		Tiled: city.Tiled(), Attribution: city.Attribution()}
	if sum.File == "" {
		base, _, _ := strings.Cut(filepath.Base(c.File), ".")
		sum.File = filepath.Join(filepath.Dir(c.File), base+".city")
	}
	if sum.Bytes, err = writeCity(city, sum.File); err != nil {
		return err
	}
	sum.Seconds = time.Since(began).Seconds()
	return p.print(c.JSON, sum, sum.text())
}

// importFailed marks an extract that no city can be made of as the person's to change.
func importFailed(file string, err error) error {
	if own := new(extract.Error); errors.As(err, &own) || errors.Is(err, routing.ErrPlan) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s cannot be imported: %w", errUsage, file, err)
	}
	return fmt.Errorf("%s cannot be imported: %w", file, err)
}

// writeCity saves the city beside its place and puts it there when it is whole.
func writeCity(city *routing.City, file string) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".city-*")
	if err != nil {
		return 0, fmt.Errorf("the city file: %w", err)
	}
	err = city.Save(f)
	size, seekErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, seekErr, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("the city file: %w", err), os.Remove(f.Name()))
	}
	return size, nil
}

func (s *imported) text() string {
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

// bar shows how far a long work is, on a terminal only.
type bar struct {
	out   io.Writer // nil: nobody looks
	drawn int       // per cent
}

func newBar(out io.Writer) *bar {
	if !isTerminal(out) {
		return &bar{}
	}
	return &bar{out: out, drawn: -1}
}

const barWidth = 40

func (b *bar) at(done, total int64) {
	if b.out == nil || total <= 0 {
		return
	}
	per := int(min(100, 100*done/total))
	if per == b.drawn {
		return
	}
	b.drawn = per
	full := per * barWidth / 100
	fmt.Fprintf(b.out, "\r  %s%s %3d %%", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), per)
}

// end takes the bar away.
func (b *bar) end() {
	if b.out != nil {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
