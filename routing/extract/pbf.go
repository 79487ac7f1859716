package extract

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/paulmach/osm"
	"google.golang.org/protobuf/encoding/protowire"
)

// The .osm.pbf format is described on the OpenStreetMap wiki's page "PBF
// Format". It is read here and not by a library: an index out of range or a
// negative size in a file makes the known libraries end the whole program.

// readPBF reads blocks one by one; no more than two of them are in memory.
func readPBF(ctx context.Context, r io.Reader, v visitor) error {
	var blob []byte
	for begun := false; ; begun = true {
		if ctx.Err() != nil {
			return ctx.Err()
		}

		kind, size, err := readBlobHeader(r)
		if errors.Is(err, io.EOF) && begun {
			return nil
		}
		if err != nil {
			return damagedError(err)
		}
		if cap(blob) < size {
			blob = make([]byte, size)
		}

		blob = blob[:size]
		if _, err := io.ReadFull(r, blob); err != nil {
			return damagedError(err)
		}

		switch kind {
		case "OSMHeader":
			err = unpackBlob(blob, checkHeader)
		case "OSMData":
			err = unpackBlob(blob, func(data []byte) error { return readBlock(data, v) })
		}

		if err != nil {
			return damagedError(err)
		}
	}
}

// readBlobHeader returns io.EOF only between two blobs.
func readBlobHeader(r io.Reader) (kind string, size int, err error) {
	var prefix [4]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return "", 0, err
	}

	n := binary.BigEndian.Uint32(prefix[:])
	if n > maxHeader {
		return "", 0, newError(ErrDamaged, "a block's header claims %d bytes, over %d", n, maxHeader)
	}

	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", 0, io.ErrUnexpectedEOF
	}

	var claimed int64
	err = eachField(header, func(f field) error {
		switch f.number {
		case 1:
			kind = string(f.bytes)
		case 3:
			claimed = int64(f.value)
		}
		return nil
	})
	if err == nil && (claimed < 0 || claimed > maxBlock) {
		err = newError(ErrTooLarge, "a block claims %d bytes, over %d", claimed, maxBlock)
	}

	return kind, int(claimed), err
}

// unpackBlob unpacks a blob and passes it to do. More than maxBlock bytes are
// an error, even if the blob claims fewer.
func unpackBlob(blob []byte, do func([]byte) error) error {
	var raw, zipped []byte
	other := false
	err := eachField(blob, func(f field) error {
		switch f.number {
		case 1:
			raw = f.bytes
		case 3:
			zipped = f.bytes
		case 4, 5, 6, 7:
			other = true
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case raw != nil:
		return do(raw)
	case other:
		return newError(ErrNotAnExtract, "its blocks are packed by another method than zlib; write it again, as with `osmium cat`")
	case zipped == nil:
		return newError(ErrDamaged, "a block without data")
	}

	zr, err := zlib.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return err
	}

	var data bytes.Buffer
	if _, err := io.Copy(&data, io.LimitReader(zr, maxBlock+1)); err != nil {
		return err
	}
	if data.Len() > maxBlock {
		return newError(ErrTooLarge, "a block unpacks to more than %d MB", maxBlock>>20)
	}
	return do(data.Bytes())
}

func checkHeader(data []byte) error {
	return eachField(data, func(f field) error {
		if f.number != 4 {
			return nil
		}
		switch feature := string(f.bytes); feature {
		case "OsmSchema-V0.6", "DenseNodes":
			return nil
		default:
			return newError(ErrNotAnExtract, "it needs the feature %q, which is not known here", feature)
		}
	})
}

// block is a PrimitiveBlock: the values that its elements refer to.
type block struct {
	strings     []string
	granularity int64 // nanodegrees
	lat, lng    int64 // nanodegrees to add
	visitor     visitor
	node        osm.Node
	way         osm.Way
	relation    osm.Relation
	a, b, c     []int64 // scratch
}

func readBlock(data []byte, v visitor) error {
	b := &block{granularity: 100, visitor: v}
	var groups [][]byte
	err := eachField(data, func(f field) error {
		switch f.number {
		case 1:
			return eachField(f.bytes, func(s field) error {
				if s.number == 1 {
					b.strings = append(b.strings, string(s.bytes))
				}
				return nil
			})
		case 2:
			groups = append(groups, f.bytes)
		case 17:
			b.granularity = int64(f.value)
		case 19:
			b.lat = int64(f.value)
		case 20:
			b.lng = int64(f.value)
		}

		return nil
	})

	for _, g := range groups {
		if err == nil {
			err = eachField(g, b.readElement)
		}
	}

	return err
}

func (b *block) readElement(f field) error {
	switch {
	case f.number == 1 && b.visitor.node != nil:
		return b.readNode(f.bytes)
	case f.number == 2 && b.visitor.node != nil:
		return b.readDenseNodes(f.bytes)
	case f.number == 3 && b.visitor.way != nil:
		return b.readWay(f.bytes)
	case f.number == 4 && b.visitor.relation != nil:
		return b.readRelation(f.bytes)
	}
	return nil
}

// toDegrees converts a coordinate. It is exact for every place on Earth; any
// other value stays out of range.
func (b *block) toDegrees(offset, v int64) float64 {
	return 1e-9 * (float64(offset) + float64(b.granularity)*float64(v))
}

func (b *block) stringAt(i int64) (string, error) {
	if i < 0 || i >= int64(len(b.strings)) {
		return "", newError(ErrDamaged, "text %d of %d", i, len(b.strings))
	}
	return b.strings[i], nil
}

func (b *block) appendTag(tags *osm.Tags, k, v int64) error {
	key, err := b.stringAt(k)
	if err != nil {
		return err
	}
	value, err := b.stringAt(v)
	*tags = append(*tags, osm.Tag{Key: key, Value: value})
	return err
}

// appendTags appends the tags of which keys and values are the two parallel
// lists.
func (b *block) appendTags(tags *osm.Tags, keys, values []int64) error {
	if len(keys) != len(values) {
		return newError(ErrDamaged, "%d keys and %d values", len(keys), len(values))
	}

	for i := range keys {
		if err := b.appendTag(tags, keys[i], values[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *block) readNode(data []byte) error {
	b.a, b.b = b.a[:0], b.b[:0]
	n := &b.node

	*n = osm.Node{Tags: n.Tags[:0]}
	var lat, lng int64
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			n.ID = osm.NodeID(protowire.DecodeZigZag(f.value))
		case 2:
			b.a, err = f.appendNumbers(b.a, false)
		case 3:
			b.b, err = f.appendNumbers(b.b, false)
		case 8:
			lat = protowire.DecodeZigZag(f.value)
		case 9:
			lng = protowire.DecodeZigZag(f.value)
		}
		return err
	})
	if err == nil {
		err = b.appendTags(&n.Tags, b.a, b.b)
	}
	if err != nil {
		return err
	}
	n.Lat, n.Lon = b.toDegrees(b.lat, lat), b.toDegrees(b.lng, lng)
	return b.visitor.node(n)
}

func (b *block) readDenseNodes(data []byte) error {
	var ids, lats, lngs, texts []int64
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			ids, err = f.appendNumbers(ids, true)
		case 8:
			lats, err = f.appendNumbers(lats, true)
		case 9:
			lngs, err = f.appendNumbers(lngs, true)
		case 10:
			texts, err = f.appendNumbers(texts, false)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(ids) != len(lats) || len(ids) != len(lngs) {
		return newError(ErrDamaged, "%d nodes with %d latitudes and %d longitudes", len(ids), len(lats), len(lngs))
	}

	n := &b.node
	var id, lat, lng int64
	for i := range ids {
		id, lat, lng = id+ids[i], lat+lats[i], lng+lngs[i]
		*n = osm.Node{ID: osm.NodeID(id), Lat: b.toDegrees(b.lat, lat), Lon: b.toDegrees(b.lng, lng), Tags: n.Tags[:0]}

		for len(texts) > 0 && texts[0] != 0 {
			if len(texts) == 1 {
				return newError(ErrDamaged, "a key without a value")
			}
			if err := b.appendTag(&n.Tags, texts[0], texts[1]); err != nil {
				return err
			}
			texts = texts[2:]
		}

		if len(texts) > 0 {
			texts = texts[1:]
		}
		if err := b.visitor.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (b *block) readWay(data []byte) error {
	b.a, b.b, b.c = b.a[:0], b.b[:0], b.c[:0]
	w := &b.way
	*w = osm.Way{Tags: w.Tags[:0], Nodes: w.Nodes[:0]}
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			w.ID = osm.WayID(f.value)
		case 2:
			b.a, err = f.appendNumbers(b.a, false)
		case 3:
			b.b, err = f.appendNumbers(b.b, false)
		case 8:
			b.c, err = f.appendNumbers(b.c, true)
		}
		return err
	})
	if err == nil {
		err = b.appendTags(&w.Tags, b.a, b.b)
	}
	if err != nil {
		return err
	}

	var id int64
	for _, step := range b.c {
		id += step
		w.Nodes = append(w.Nodes, osm.WayNode{ID: osm.NodeID(id)})
	}

	return b.visitor.way(w)
}

func (b *block) readRelation(data []byte) error {
	b.a, b.b, b.c = b.a[:0], b.b[:0], b.c[:0]
	var roles, kinds []int64
	r := &b.relation
	*r = osm.Relation{Tags: r.Tags[:0], Members: r.Members[:0]}
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			r.ID = osm.RelationID(f.value)
		case 2:
			b.a, err = f.appendNumbers(b.a, false)
		case 3:
			b.b, err = f.appendNumbers(b.b, false)
		case 8:
			roles, err = f.appendNumbers(roles, false)
		case 9:
			b.c, err = f.appendNumbers(b.c, true)
		case 10:
			kinds, err = f.appendNumbers(kinds, false)
		}
		return err
	})
	if err == nil {
		err = b.appendTags(&r.Tags, b.a, b.b)
	}
	if err != nil {
		return err
	}
	if len(roles) != len(b.c) || len(kinds) != len(b.c) {
		return newError(ErrDamaged, "a relation of %d members with %d roles and %d kinds", len(b.c), len(roles), len(kinds))
	}

	var id int64
	for i, step := range b.c {
		id += step
		role, err := b.stringAt(roles[i])
		if err != nil {
			return err
		}
		kind := osm.TypeRelation
		switch kinds[i] {
		case 0:
			kind = osm.TypeNode
		case 1:
			kind = osm.TypeWay
		}

		r.Members = append(r.Members, osm.Member{Type: kind, Ref: id, Role: role})
	}
	return b.visitor.relation(r)
}

// field is a field of a protobuf message: a number or bytes.
type field struct {
	number protowire.Number
	value  uint64
	bytes  []byte
	packed bool
}

// eachField calls do with every field of a message.
func eachField(data []byte, do func(field) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}

		data = data[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			f.packed = true
			f.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}

		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := do(f); err != nil {
			return err
		}
	}

	return nil
}

// appendNumbers appends a repeated field's numbers, packed or not, zigzag or
// not.
func (f field) appendNumbers(dst []int64, zigzag bool) ([]int64, error) {
	add := func(v uint64) {
		if zigzag {
			dst = append(dst, protowire.DecodeZigZag(v))
		} else {
			dst = append(dst, int64(v))
		}
	}

	if !f.packed {
		add(f.value)
		return dst, nil
	}

	for data := f.bytes; len(data) > 0; {
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		add(v)
		data = data[n:]
	}

	return dst, nil
}
