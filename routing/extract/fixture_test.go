package extract

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is a little extract, written in every format by the tests themselves.
type town struct {
	nodes     []node
	ways      []way
	relations []relation
}

type tags map[string]string

type node struct {
	id       int64
	lng, lat float64
	tags     tags
}

type way struct {
	id    int64
	nodes []int64
	tags  tags
}

type relation struct {
	id      int64
	members []member
	tags    tags
}

type member struct {
	way  int64
	role string
}

// crossing is a square of four streets of about a kilometre, with a lake in it,
// an island in the lake, a dead end behind a bollard, a one-way street that
// leads out and never back, and places to go to.
func crossing() town {
	return town{
		nodes: []node{
			{1, 7.40, 43.70, nil}, {2, 7.41, 43.70, nil}, {3, 7.41, 43.71, nil}, {4, 7.40, 43.71, nil},
			{5, 7.42, 43.70, nil}, {6, 7.415, 43.705, tags{"barrier": "bollard"}}, {7, 7.42, 43.71, nil},
			{10, 7.403, 43.703, nil}, {11, 7.407, 43.703, nil}, {12, 7.407, 43.707, nil}, {13, 7.403, 43.707, nil},
			{14, 7.404, 43.704, nil}, {15, 7.406, 43.704, nil}, {16, 7.406, 43.706, nil},
			{20, 7.401, 43.7001, tags{"railway": "station", "name": "Gare"}},
			{21, 7.4011, 43.7001, tags{"amenity": "cafe", "name": "Café"}},
			{22, 7.405, 43.705, tags{"place": "suburb", "name": "Lac & Jardin"}},
			{30, 7.409, 43.709, tags{"tourism": "hotel", "name": "Grand"}},
		},
		ways: []way{
			{100, []int64{1, 2, 3, 4, 1}, tags{"highway": "residential", "name": "Ring", "maxspeed": "30"}},
			{101, []int64{3, 6, 5}, tags{"highway": "service"}},
			{102, []int64{2, 5}, tags{"highway": "primary", "oneway": "yes", "ref": "D1"}},
			{103, []int64{1, 3}, tags{"highway": "footway"}},
			{104, []int64{2, 7, 99}, tags{"highway": "unclassified", "access": "private"}},
			{105, []int64{4, 7, 99}, tags{"highway": "tertiary"}},
			{110, []int64{10, 11, 12}, nil}, {111, []int64{10, 13, 12}, nil},
			{112, []int64{14, 15, 16, 14}, nil},
			{113, []int64{1, 10, 13, 1}, tags{"leisure": "park", "name": "Jardin"}},
		},
		relations: []relation{
			{200, []member{{110, "outer"}, {111, "outer"}, {112, "inner"}}, tags{"type": "multipolygon", "natural": "water", "name": "Lac"}},
			{201, []member{{100, "from"}}, tags{"type": "restriction", "restriction": "no_left_turn"}},
		},
	}
}

func sorted(t tags) (keys []string) {
	for k := range t {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (t town) xml() []byte {
	var b bytes.Buffer
	list := func(all tags) {
		for _, k := range sorted(all) {
			fmt.Fprintf(&b, "<tag k=%q v=\"%s\"/>", k, strings.ReplaceAll(all[k], "&", "&amp;"))
		}
	}
	b.WriteString("<?xml version='1.0' encoding='UTF-8'?>\n<osm version=\"0.6\">\n")

	for _, n := range t.nodes {
		fmt.Fprintf(&b, "<node id=\"%d\" lon=\"%.7f\" lat=\"%.7f\">", n.id, n.lng, n.lat)
		list(n.tags)
		b.WriteString("</node>\n")
	}

	for _, w := range t.ways {
		fmt.Fprintf(&b, "<way id=\"%d\">", w.id)
		for _, n := range w.nodes {
			fmt.Fprintf(&b, "<nd ref=\"%d\"/>", n)
		}
		list(w.tags)
		b.WriteString("</way>\n")
	}

	for _, r := range t.relations {
		fmt.Fprintf(&b, "<relation id=\"%d\">", r.id)
		for _, m := range r.members {
			fmt.Fprintf(&b, "<member type=\"way\" ref=\"%d\" role=%q/>", m.way, m.role)
		}
		list(r.tags)
		b.WriteString("</relation>\n")
	}

	b.WriteString("</osm>\n")
	return b.Bytes()
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(data)
	_ = zw.Close()
	return b.Bytes()
}

// texts is a string table under construction; index 0 is empty by the format.
type texts struct {
	at  map[string]uint64
	all []string
}

func (t *texts) of(s string) uint64 {
	if t.at == nil {
		t.at, t.all = map[string]uint64{"": 0}, []string{""}
	}
	i, ok := t.at[s]
	if !ok {
		i = uint64(len(t.all))
		t.at[s], t.all = i, append(t.all, s)
	}
	return i
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func bytesField(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func packed(b []byte, field protowire.Number, all []uint64) []byte {
	var p []byte
	for _, v := range all {
		p = protowire.AppendVarint(p, v)
	}
	return bytesField(b, field, p)
}

func steps(all []int64) (out []uint64) {
	var last int64
	for _, v := range all {
		out = append(out, protowire.EncodeZigZag(v-last))
		last = v
	}
	return out
}

func (t *texts) tags(b []byte, all tags) []byte {
	var keys, values []uint64
	for _, k := range sorted(all) {
		keys, values = append(keys, t.of(k)), append(values, t.of(all[k]))
	}
	return packed(packed(b, 2, keys), 3, values)
}

// pbf writes the extract in blocks: dense nodes, plain nodes when dense is
// false, ways, relations.
func (t town) pbf(dense bool) []byte {
	var s texts
	s.of("")
	e7 := func(v float64) int64 { return int64(v*1e7 + 0.5) }
	var group, out []byte
	if dense {
		var ids, lngs, lats []int64
		var pairs []uint64
		for _, n := range t.nodes {
			ids, lngs, lats = append(ids, n.id), append(lngs, e7(n.lng)), append(lats, e7(n.lat))
			for _, k := range sorted(n.tags) {
				pairs = append(pairs, s.of(k), s.of(n.tags[k]))
			}
			pairs = append(pairs, 0)
		}

		d := packed(packed(packed(packed(nil, 1, steps(ids)), 8, steps(lats)), 9, steps(lngs)), 10, pairs)
		group = bytesField(group, 2, d)
	} else {
		for _, n := range t.nodes {
			b := s.tags(number(nil, 1, protowire.EncodeZigZag(n.id)), n.tags)
			b = number(number(b, 8, protowire.EncodeZigZag(e7(n.lat))), 9, protowire.EncodeZigZag(e7(n.lng)))
			group = bytesField(group, 1, b)
		}
	}

	out = append(out, blob("OSMHeader", bytesField(bytesField(nil, 4, []byte("OsmSchema-V0.6")), 4, []byte("DenseNodes")))...)
	out = append(out, blob("OSMData", s.block(group))...)
	group = nil
	for _, w := range t.ways {
		group = bytesField(group, 3, packed(s.tags(number(nil, 1, uint64(w.id)), w.tags), 8, steps(w.nodes)))
	}

	for _, r := range t.relations {
		b := s.tags(number(nil, 1, uint64(r.id)), r.tags)
		var roles, kinds []uint64
		var ids []int64
		for _, m := range r.members {
			roles, kinds, ids = append(roles, s.of(m.role)), append(kinds, 1), append(ids, m.way)
		}
		group = bytesField(group, 4, packed(packed(packed(b, 8, roles), 9, steps(ids)), 10, kinds))
	}
	return append(out, blob("OSMData", s.block(group))...)
}

func (t *texts) block(group []byte) []byte {
	var table []byte
	for _, s := range t.all {
		table = bytesField(table, 1, []byte(s))
	}
	return bytesField(bytesField(nil, 1, table), 2, group)
}

// blob packs a block and writes it with its header.
func blob(kind string, data []byte) []byte {
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	_, _ = zw.Write(data)
	_ = zw.Close()
	return framed(kind, bytesField(number(nil, 2, uint64(len(data))), 3, z.Bytes()))
}

func framed(kind string, body []byte) []byte {
	header := number(bytesField(nil, 1, []byte(kind)), 3, uint64(len(body)))
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(header))), header...), body...)
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
