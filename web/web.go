// Package web embeds and serves the pages: that of riders, drivers and
// operators, the lab's, and the X-ray's.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// FS holds index.html, the page's modules in app/ and, after `make web`, its
// libraries in lib/.
//
//go:embed index.html app lib
var FS embed.FS

// labFiles holds the lab's page in lab/ and its modules in lab/app/. It shares
// colours and a few modules with the page in FS.
//
//go:embed lab
var labFiles embed.FS

// xrayFiles holds the X-ray page in xray/ and its modules in xray/app/.
//
//go:embed xray
var xrayFiles embed.FS

// contentTypes replaces the host's own table, which may call a module
// text/plain; browsers refuse to run that.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// contentSecurityPolicy allows no script, font, tile or picture from another
// origin.
const contentSecurityPolicy = "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// HasLibraries reports whether the map library was built in.
func HasLibraries() bool { return hasLibraries(FS) }

func hasLibraries(files fs.FS) bool {
	_, err := fs.Stat(files, "lib/maplibre-gl.mjs")
	return err == nil
}

// Handler serves the page at /, its modules below /app/ and its libraries below
// /lib/. Every other path is 404.
func Handler() http.Handler { return newHandler(FS) }

func newHandler(files fs.FS) http.Handler {
	pages := readFiles(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, pages) })
}

const labPage = "/lab/index.html"

// LabHandler serves the lab's page at /lab and at /lab/NAME, where a script
// reads the name, and its modules below /lab/app/. It stands beside Handler,
// whose stylesheet it uses. The list, in HTML, is for browsers that run no
// scripts.
func LabHandler(list string) http.Handler {
	pages := readFiles(labFiles)
	page := pages[labPage]
	pages[labPage] = newFile(bytes.Replace(page.body, []byte("<!-- list -->"), []byte(list), 1), page.contentType)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dir, name := path.Split(r.URL.Path); r.URL.Path == "/lab" || dir == "/lab/" && path.Ext(name) == "" {
			r = r.Clone(r.Context())
			r.URL.Path = labPage
		}
		serveFile(w, r, pages)
	})
}

const xrayPage = "/xray/index.html"

// XrayHandler serves the X-ray page at /xray, and its modules below /xray/app/.
// It stands beside Handler, whose colours it uses.
func XrayHandler() http.Handler {
	pages := readFiles(xrayFiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/xray" {
			r = r.Clone(r.Context())
			r.URL.Path = xrayPage
		}
		serveFile(w, r, pages)
	})
}

// embeddedFile is a file as it is served.
type embeddedFile struct {
	body        []byte
	contentType string
	etag        string
}

func newFile(body []byte, contentType string) embeddedFile {
	sum := sha256.Sum256(body)
	return embeddedFile{body, contentType, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// readFiles reads every file once: the set is small and fixed at build time,
// and each file's hash is its ETag.
func readFiles(files fs.FS) map[string]embeddedFile {
	pages := map[string]embeddedFile{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		contentType, served := contentTypes[path.Ext(name)]
		if err != nil || d.IsDir() || !served {
			return err
		}

		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		pages["/"+name] = newFile(body, contentType)
		return nil
	})
	if err != nil {
		// Only a broken build gets here.
		panic("web: embedded files cannot be read: " + err.Error())
	}
	return pages
}

// serveFile answers one request from the files, by path.
func serveFile(w http.ResponseWriter, r *http.Request, pages map[string]embeddedFile) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page is only read: use GET", http.StatusMethodNotAllowed)
		return
	}
	name := r.URL.Path
	if strings.HasSuffix(name, "/") {
		name += "index.html"
	}

	f, ok := pages[name]
	if !ok {
		http.NotFound(w, r)
		return
	}

	h := w.Header()
	h.Set("Content-Type", f.contentType)

	// Browsers keep the file but ask for it each time: the ETag makes that
	// cheap, and a new build shows at once.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
