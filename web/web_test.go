package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func sendRequest(h http.Handler, method, path, etag string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPageAndItsModulesComeWithTypesABrowserRuns(t *testing.T) {
	h := Handler()
	for path, want := range map[string]string{
		"/": "text/html", "/index.html": "text/html", "/app/main.js": "text/javascript", "/app/base.css": "text/css", "/app/icon.svg": "image/svg+xml",
	} {
		w := sendRequest(h, "GET", path, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), want) {
			t.Errorf("%s: %d %s, want 200 %s", path, w.Code, w.Header().Get("Content-Type"), want)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") {
			t.Errorf("%s: policy %q lets other origins in", path, csp)
		}
	}
}

func TestTheLabIsAPageOfItsOwn(t *testing.T) {
	h := LabHandler("<p>the list</p>")
	for _, path := range []string{"/lab", "/lab/", "/lab/races", "/lab/index.html"} {
		w := sendRequest(h, "GET", path, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<p>the list</p>") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: %d, policy %q", path, w.Code, w.Header().Get("Content-Security-Policy"))
		}
		if again := sendRequest(h, "GET", path, w.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s asked again: %d", path, again.Code)
		}
	}

	if w := sendRequest(h, "GET", "/lab/app/main.js", ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("its module: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	for _, path := range []string{"/", "/lab/app/", "/lab/app/nothing.js", "/lab/races/more", "/index.html", "/app/main.js"} {
		if w := sendRequest(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}
	if w := sendRequest(Handler(), "GET", "/lab/app/main.js", ""); w.Code != 404 {
		t.Errorf("a node without a lab serves its files: %d", w.Code)
	}
}

func TestTheXrayIsAPageOfItsOwn(t *testing.T) {
	h := XrayHandler()
	for path, want := range map[string]string{
		"/xray": "text/html", "/xray/": "text/html", "/xray/app/main.js": "text/javascript", "/xray/app/layout.css": "text/css",
	} {
		w := sendRequest(h, "GET", path, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), want) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: %d %s, policy %q", path, w.Code, w.Header().Get("Content-Type"), w.Header().Get("Content-Security-Policy"))
		}
	}
	for _, path := range []string{"/", "/xray/app/", "/xray/nothing", "/app/main.js"} {
		if w := sendRequest(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	h := Handler()
	first := sendRequest(h, "GET", "/app/main.js", "")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("ETag %q, Cache-Control %q", tag, first.Header().Get("Cache-Control"))
	}
	if again := sendRequest(h, "GET", "/app/main.js", tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("asked again: %d with %d bytes, want 304 and none", again.Code, again.Body.Len())
	}
}

func TestPageAnswersNothingElse(t *testing.T) {
	h := Handler()
	for _, path := range []string{"/nothing", "/app/", "/lib/", "/app", "/lib/README.md", "/web.go", "/package.json", "/app/../web.go"} {
		if w := sendRequest(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}

	if w := sendRequest(h, "POST", "/", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST /: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestBuildWithoutLibrariesStillServesThePage(t *testing.T) {
	bare := fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}, "lib/README.md": {Data: []byte("#")}}
	if hasLibraries(bare) {
		t.Error("libraries were found where there are none")
	}

	h := newHandler(bare)
	if w := sendRequest(h, "GET", "/", ""); w.Code != 200 {
		t.Errorf("page: %d", w.Code)
	}
	if w := sendRequest(h, "GET", "/lib/maplibre-gl.mjs", ""); w.Code != 404 {
		t.Errorf("library: %d, want 404 so that the page can say what is missing", w.Code)
	}
}
