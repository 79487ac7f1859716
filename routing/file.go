package routing

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/routing/internal/citygen"
)

// Open returns the generated city of a decimal seed, where "" stands for 1, or
// else the city in the file that spec names.
func Open(spec string) (*City, error) {
	if spec == "" {
		spec = "1"
	}

	if seed, err := strconv.ParseUint(spec, 10, 64); err == nil {
		return generated.open(seed)
	}

	f, err := os.Open(spec)
	if err != nil {
		return nil, fmt.Errorf("open city: give a seed such as 1, or the path of a city file: %w", err)
	}
	defer f.Close()

	city, err := Load(f)
	if err != nil {
		return nil, fmt.Errorf("city file %s: %w", spec, err)
	}

	city.spec = spec
	return city, nil
}

// generated keeps the city that was generated last, because the nodes of one
// process share it: a city never changes, and takes half a second to make.
var generated lastCity

type lastCity struct {
	mu   sync.Mutex // held while a city is made, so that it is made once
	seed uint64
	city *City
}

func (l *lastCity) open(seed uint64) (*City, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.city != nil && l.seed == seed {
		return l.city, nil
	}

	city, err := generate(seed)
	if err != nil {
		return nil, err
	}
	l.seed, l.city = seed, city
	return city, nil
}

func generate(seed uint64) (*City, error) {
	city, err := NewCity(builtInPlan(citygen.Generate(seed)))
	if err != nil {
		return nil, fmt.Errorf("built-in city from seed %d: %w", seed, err)
	}
	city.spec = strconv.FormatUint(seed, 10)
	return city, nil
}

// ErrNotACity is returned for a file that Save did not write.
var ErrNotACity = errors.New("not a city file; make one with `ridehail import`")

// ErrOldCity is returned for a city file of an older version of the program.
var ErrOldCity = errors.New("a city file of an older version; make it again with `ridehail import`")

// A city file is a line that names the format, then compressed JSON. In it a
// line of points is a flat list of longitudes and latitudes in millionths of a
// degree, each relative to the one before.
const (
	fileMagic = "ridehail city 2\n"
	fileKind  = "ridehail city "
	// bytes of JSON; a file that unpacks to more is an attack, not a city
	fileLimit = 1 << 30
)

type filePlan struct {
	Name        string      `json:"name"`
	Attribution string      `json:"attribution,omitempty"`
	Straight    Straight    `json:"straight"`
	Roads       []fileRoad  `json:"roads"`
	Areas       []fileArea  `json:"areas"`
	Districts   []filePlace `json:"districts"`
	Hotspots    []filePlace `json:"hotspots"`
}

type fileRoad struct {
	Class  Class   `json:"c,omitempty"`
	Name   string  `json:"n,omitempty"`
	OneWay bool    `json:"o,omitempty"`
	Bridge bool    `json:"b,omitempty"`
	Speed  float64 `json:"s,omitempty"`
	Line   []int32 `json:"l"`
}

type fileArea struct {
	Kind  string    `json:"k"`
	Name  string    `json:"n,omitempty"`
	Rings [][]int32 `json:"r"`
}

type filePlace struct {
	Name   string  `json:"n"`
	At     []int32 `json:"p"`
	Weight float64 `json:"w,omitempty"`
}

// Save writes the city as a file that Load reads. The same city gives the same
// bytes.
func (c *City) Save(w io.Writer) error {
	buf := bufio.NewWriter(w)
	if _, err := buf.WriteString(fileMagic); err != nil {
		return fmt.Errorf("save city: %w", err)
	}

	zw := gzip.NewWriter(buf)
	if err := json.NewEncoder(zw).Encode(packPlan(c.plan)); err != nil {
		return fmt.Errorf("save city: %w", err)
	}
	if err := errors.Join(zw.Close(), buf.Flush()); err != nil {
		return fmt.Errorf("save city: %w", err)
	}
	return nil
}

// SaveFile writes the city to a file and returns its size in bytes. It writes a
// temporary file in the same folder first and renames it when it is complete.
func (c *City) SaveFile(path string) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".city-*")
	if err != nil {
		return 0, fmt.Errorf("the city file: %w", err)
	}

	err = c.Save(f)
	size, seekErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, seekErr, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("the city file: %w", err), os.Remove(f.Name()))
	}
	return size, nil
}

// Load reads a city that Save wrote. It returns ErrNotACity or ErrOldCity for
// other files, and io.ErrUnexpectedEOF for a file that ends too early.
func Load(r io.Reader) (*City, error) {
	magic := make([]byte, len(fileMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, fmt.Errorf("%w: it has fewer than %d bytes", ErrNotACity, len(magic))
	}

	switch {
	case string(magic) == fileMagic:
	case strings.HasPrefix(string(magic), fileKind):
		return nil, ErrOldCity
	default:
		return nil, ErrNotACity
	}

	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, damagedError(err)
	}

	limited := &io.LimitedReader{R: zr, N: fileLimit}
	var packed filePlan
	if err := json.NewDecoder(limited).Decode(&packed); err != nil {
		if limited.N <= 0 {
			return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrNotACity, fileLimit)
		}
		return nil, damagedError(err)
	}

	// the checksum is at the end
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return nil, damagedError(err)
	}
	plan, err := unpackPlan(packed)
	if err != nil {
		return nil, damagedError(err)
	}
	return NewCity(plan)
}

func damagedError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the city file is damaged or cut short; copy or import it again: %w", err)
}

func packPlan(p Plan) filePlan {
	out := filePlan{Name: p.Name, Attribution: p.Attribution, Straight: p.Straight}
	for _, r := range p.Roads {
		out.Roads = append(out.Roads, fileRoad{r.Class, r.Name, r.OneWay, r.Bridge, r.Speed, packLine(r.Points)})
	}

	for _, a := range p.Areas {
		rings := make([][]int32, len(a.Rings))
		for i, ring := range a.Rings {
			rings[i] = packLine(ring)
		}
		out.Areas = append(out.Areas, fileArea{a.Kind, a.Name, rings})
	}

	for _, d := range p.Districts {
		out.Districts = append(out.Districts, filePlace{Name: d.Name, At: packLine([]location.Point{d.Point})})
	}
	for _, h := range p.Hotspots {
		out.Hotspots = append(out.Hotspots, filePlace{h.Name, packLine([]location.Point{h.Point}), h.Weight})
	}

	return out
}

func unpackPlan(f filePlan) (Plan, error) {
	p := Plan{Name: f.Name, Attribution: f.Attribution, Straight: f.Straight}
	var errs []error
	line := func(flat []int32) []location.Point {
		points, err := unpackLine(flat)
		errs = append(errs, err)
		return points
	}

	place := func(at []int32) location.Point {
		if points := line(at); len(points) == 1 {
			return points[0]
		}
		errs = append(errs, errors.New("a place is not one point"))
		return location.Point{}
	}

	for _, r := range f.Roads {
		p.Roads = append(p.Roads, Road{line(r.Line), r.Class, r.Name, r.OneWay, r.Bridge, r.Speed})
	}

	for _, a := range f.Areas {
		area := Area{Kind: a.Kind, Name: a.Name}
		for _, ring := range a.Rings {
			area.Rings = append(area.Rings, line(ring))
		}
		p.Areas = append(p.Areas, area)
	}

	for _, d := range f.Districts {
		p.Districts = append(p.Districts, District{d.Name, place(d.At)})
	}
	for _, h := range f.Hotspots {
		p.Hotspots = append(p.Hotspots, Hotspot{h.Name, place(h.At), h.Weight})
	}
	return p, errors.Join(errs...)
}

func packLine(line []location.Point) []int32 {
	flat := make([]int32, 0, 2*len(line))
	var last microPoint
	for _, p := range line {
		k := toMicro(p)
		flat = append(flat, k.lng-last.lng, k.lat-last.lat)
		last = k
	}
	return flat
}

func unpackLine(flat []int32) ([]location.Point, error) {
	if len(flat)%2 != 0 {
		return nil, errors.New("a longitude without a latitude")
	}
	line := make([]location.Point, 0, len(flat)/2)
	var last microPoint
	for i := 0; i < len(flat); i += 2 {
		last = microPoint{last.lng + flat[i], last.lat + flat[i+1]}
		line = append(line, last.toPoint())
	}

	return line, nil
}
