package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/lab/page"
	"github.com/ridehail/ridehail/lab/planted"
)

func TestLabBreakSaysInOneLineWhatItCannotRun(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"an unknown bug":      {[]string{"none"}, exitUsage, "no planted bug"},
		"an unknown step":     {[]string{"no-unique-index", "--steps", "9"}, exitUsage, "the steps 1 to 6"},
		"a step out of range": {[]string{"no-unique-index", "--steps", "0"}, exitUsage, "--steps"},
		"no such database":    {[]string{"outbox-by-id", "--database", "postgres://127.0.0.1:1/x"}, exitUnreachable, "--database"},
		"a full disk": {[]string{"no-unique-index", "--plot", filepath.Join(t.TempDir(), "none", "x.svg")}, exitFailed,
			"the picture cannot be written"},
	} {
		var out, logs strings.Builder
		code := run(t.Context(), nil, append([]string{"lab", "break"}, c.args...), &out, &logs)
		if code != c.code || !strings.Contains(logs.String(), c.says) {
			t.Errorf("%s: exit code %d, %s", name, code, logs.String())
		}
	}
}

func TestLabBreakListsTheBugsAndSaysThatThisProgramHasNone(t *testing.T) {
	var out, logs strings.Builder
	if code := run(t.Context(), nil, []string{"lab", "break"}, &out, &logs); code != exitDone {
		t.Fatal(code, logs.String())
	}
	for _, want := range []string{"outbox-by-id", "breaks: a driver has one active trip at most", "make lab-broken", "has none of them"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
}

func TestLabBreakShowsThatThisProgramKeepsItsPromise(t *testing.T) {
	var out, logs strings.Builder
	if code := run(t.Context(), nil, []string{"lab", "break", "no-unique-index"}, &out, &logs); code != exitDone {
		t.Fatal(code, logs.String())
	}
	if text := out.String(); !strings.Contains(text, "HOLDS   a driver has one active trip") || !strings.Contains(text, "no: busy") {
		t.Error(text)
	}
}

func TestTheLabsPageNamesEachPlantedBug(t *testing.T) {
	p := page.New(t.Context(), page.Config{Log: slog.New(slog.DiscardHandler)})
	defer p.Close()
	asked := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/lab/api/experiments", nil)
	asked.RemoteAddr = "127.0.0.1:1"
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, asked)

	for _, l := range planted.Lessons() {
		if want := "ridehail-broken lab break " + l.Name + `"`; !strings.Contains(answer.Body.String(), want) {
			t.Errorf("no %s in %s", want, answer.Body)
		}
	}
}
