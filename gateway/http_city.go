package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// cityHandler serves the city's GeoJSON, compressed once, with an ETag so that a page that has it asks cheaply.
func cityHandler(city []byte) http.HandlerFunc {
	var zipped bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid
	_, _ = zw.Write(city)                                       // a buffer takes everything
	_ = zw.Close()
	sum := sha256.Sum256(city)
	tag := hex.EncodeToString(sum[:12])
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/geo+json")
		h.Set("Cache-Control", "no-cache")
		h.Set("Vary", "Accept-Encoding")
		body, etag := city, `"`+tag+`"`
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body, etag = zipped.Bytes(), `"`+tag+`-gz"`
		}
		h.Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}
