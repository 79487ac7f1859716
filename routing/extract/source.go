package extract

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/paulmach/osm"
	"github.com/paulmach/osm/osmxml"
)

// source is a file that is read several times from its beginning.
type source struct {
	path       string
	size       int64
	read       int64 // bytes so far, over all passes
	onProgress func(done, total int64)
}

// visitor receives the elements of a file; a nil function skips its kind. An
// element must not be kept, because the next one reuses its memory.
type visitor struct {
	node     func(*osm.Node) error
	way      func(*osm.Way) error
	relation func(*osm.Relation) error
}

// Bounds of the sizes in a file.
const (
	// bytes of XML from one element to the next; a relation of 32,000 members
	// has 2 MB
	maxElement = 4 << 20
	maxHeader  = 64 << 10 // bytes, by the format of .osm.pbf
	// bytes, by the format of .osm.pbf, packed and unpacked
	maxBlock = 32 << 20
	// bytes within which an XML file must show that it is from OpenStreetMap
	sniffed     = 4 << 10
	passes      = 3
	gzipMagic   = "\x1f\x8b"
	bzip2Magic  = "BZh"
	packedTwice = "unpack it first"
)

func openSource(path string, tell func(done, total int64)) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the extract: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, newError(ErrNotAnExtract, "%s is not a file; it is read %d times over, so a pipe will not do", path, passes)
	}
	if tell == nil {
		tell = func(int64, int64) {}
	}
	return &source{path: path, size: info.Size(), onProgress: tell}, nil
}

// countingReader reports progress and bounds the bytes of one element.
type countingReader struct {
	r      io.Reader
	n      *int64
	onRead func()
	since  int64 // bytes since the last element
	limit  int64 // of since; 0: none
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.since += int64(n); c.limit > 0 && c.since > c.limit {
		return 0, newError(ErrTooLarge, "one element has more than %d MB", c.limit>>20)
	}

	if c.n != nil {
		*c.n += int64(n)
		c.onRead()
	}
	return n, err
}

// readPass reads the whole file once.
func (s *source) readPass(ctx context.Context, v visitor) error {
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("open the extract: %w", err)
	}
	defer f.Close()

	in := bufio.NewReaderSize(&countingReader{r: f, n: &s.read, onRead: func() { s.onProgress(s.read, s.size*passes) }}, 64<<10)
	if start, _ := in.Peek(3); bytes.HasPrefix(start, []byte(gzipMagic)) {
		zr, err := gzip.NewReader(in)
		if err != nil {
			return damagedError(err)
		}
		in = bufio.NewReaderSize(zr, sniffed)
	} else if string(start) == bzip2Magic {
		return newError(ErrNotAnExtract, "a .bz2 file: %s", packedTwice)
	}

	start, err := in.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return damagedError(err)
	}

	switch trimmed := bytes.TrimLeft(start, "\ufeff \t\r\n"); {
	case bytes.HasPrefix(trimmed, []byte("<")) && bytes.Contains(trimmed, []byte("<osm ")):
		return readXML(ctx, in, v)
	case len(start) > 16 && start[0] == 0 && bytes.Contains(start[:16], []byte("OSM")):
		return readPBF(ctx, in, v)
	case len(start) == 0:
		return newError(ErrNotAnExtract, "the file is empty")
	}

	return newError(ErrNotAnExtract, "neither .osm, .osm.gz nor .osm.pbf by what is in it")
}

func readXML(ctx context.Context, r io.Reader, v visitor) error {
	in := &countingReader{r: r, limit: maxElement}
	scan := osmxml.New(ctx, in)
	defer scan.Close()

	for scan.Scan() {
		in.since = 0
		var err error
		switch e := scan.Object().(type) {
		case *osm.Node:
			if v.node != nil {
				err = v.node(e)
			}
		case *osm.Way:
			if v.way != nil {
				err = v.way(e)
			}
		case *osm.Relation:
			if v.relation != nil {
				err = v.relation(e)
			}
		}

		if err != nil {
			return err
		}
	}

	err := scan.Err()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return damagedError(err)
}

// damagedError explains a parser's error. It returns nil and *Error unchanged.
func damagedError(err error) error {
	if own := new(Error); err == nil || errors.As(err, &own) {
		return err
	}
	if syntax := new(xml.SyntaxError); errors.Is(err, io.EOF) || errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return newError(ErrDamaged, "it ends too early; fetch it again: %w", err)
	}
	return newError(ErrDamaged, "%w", err)
}
