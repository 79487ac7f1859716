package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/routing/extract"
)

// gridExtract is an OpenStreetMap extract of five by five crossings, with a
// station and a street that leads nowhere.
func gridExtract(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?><osm version="0.6">`)

	id := func(x, y int) int { return 1 + 10*y + x }
	for y := range 5 {
		for x := range 5 {
			fmt.Fprintf(&b, `<node id="%d" lon="%.6f" lat="%.6f"/>`, id(x, y), 7.40+0.004*float64(x), 43.70+0.003*float64(y))
		}
	}

	b.WriteString(`<node id="900" lon="7.408" lat="43.7062"><tag k="railway" v="station"/><tag k="name" v="Gare"/></node>`)
	b.WriteString(`<node id="901" lon="7.43" lat="43.70"/>`)
	street := func(n int, nodes ...int) {
		fmt.Fprintf(&b, `<way id="%d"><tag k="highway" v="residential"/><tag k="name" v="Street %d"/>`, n, n)
		for _, node := range nodes {
			fmt.Fprintf(&b, `<nd ref="%d"/>`, node)
		}
		b.WriteString(`</way>`)
	}

	for i := range 5 {
		street(100+i, id(0, i), id(1, i), id(2, i), id(3, i), id(4, i))
		street(200+i, id(i, 0), id(i, 1), id(i, 2), id(i, 3), id(i, 4))
	}

	fmt.Fprintf(&b, `<way id="300"><nd ref="%d"/><nd ref="901"/><tag k="highway" v="primary"/><tag k="oneway" v="yes"/></way></osm>`, id(4, 0))
	path := filepath.Join(t.TempDir(), "grid.osm")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestAnImportedExtractIsACityToRunIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grid.city")
	var out, logs bytes.Buffer
	if code := run(t.Context(), nil, []string{"import", gridExtract(t), "-o", file, "--name", "Grid", "--json"}, &out, &logs); code != exitDone {
		t.Fatalf("exit %d: %s", code, logs.String())
	}

	var sum extract.Summary
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil || sum.City != "Grid" || sum.Kept.Junctions != 25 ||
		sum.Kept.OfJunctions != 26 || sum.Kept.LostRoads != 1 || sum.Read.Hotspots != 1 || sum.Bytes == 0 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if logs.Len() > 0 {
		t.Errorf("not silent without a terminal: %s", logs.String())
	}

	listen := freeAddress(t)
	p := start(t, "demo", "--json", "--city", file, "--listen", listen, "--data", t.TempDir(), "--drivers", "10", "--riders", "5", "--speed", "20")
	awaitReady(t, p, "http://"+listen)

	res, err := http.Get("http://" + listen + "/v1/city")
	if err != nil {
		t.Fatal(err)
	}

	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || !bytes.Contains(body, []byte("OpenStreetMap contributors")) || !bytes.Contains(body, []byte("Street 100")) {
		t.Errorf("the page is not given the city: %v %.200s", err, body)
	}

	p.stop()
	if code := p.wait(t); code != exitDone {
		t.Errorf("exit %d", code)
	}
}

func TestWhatCannotBeImportedSaysWhyAndLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"page":  {"<html>not found</html>", "not_an_extract"},
		"cut":   {`<osm version="0.6"><node id="1"`, "damaged"},
		"empty": {`<osm version="0.6"></osm>`, "no_roads"},
		"one way out": {`<osm version="0.6"><node id="1" lon="7" lat="43"/><node id="2" lon="7.01" lat="43"/><way id="1"><nd ref="1"/>` +
			`<nd ref="2"/><tag k="highway" v="primary"/><tag k="oneway" v="yes"/></way></osm>`, "no road leads anywhere and back"},
	} {
		path := filepath.Join(dir, name+".osm")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}

		var out, logs bytes.Buffer
		if code := run(t.Context(), nil, []string{"import", path}, &out, &logs); code != exitUsage || !strings.Contains(logs.String(), c.want) {
			t.Errorf("%s: exit %d: %s", name, code, logs.String())
		}
		if _, err := os.Stat(filepath.Join(dir, name+".city")); err == nil {
			t.Errorf("%s: a city file was written", name)
		}
	}

	var out, logs bytes.Buffer
	if code := run(t.Context(), nil, []string{"import", filepath.Join(dir, "gone.osm")}, &out, &logs); code != exitUsage {
		t.Errorf("no file: exit %d: %s", code, logs.String())
	}
}

func TestTheProgressBarGoesFromNothingToAll(t *testing.T) {
	var out bytes.Buffer
	b := &progressBar{out: &out, percent: -1}
	for done := range int64(1001) {
		b.draw(done, 1000)
	}
	b.clear()
	if n := strings.Count(out.String(), "\r"); n != 102 || !strings.Contains(out.String(), strings.Repeat("█", barWidth)+" 100 %") {
		t.Errorf("drawn %d times: %q", n, out.String())
	}
	if newProgressBar(&out).out != nil {
		t.Error("a bar for a file")
	}
}
