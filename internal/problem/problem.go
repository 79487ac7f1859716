// Package problem writes an error as HTTP tells it (RFC 9457), for the HTTP API
// and for a socket that is refused before it is one.
package problem

import (
	"encoding/json"
	"net/http"

	"github.com/ridehail/ridehail/wire"
)

// Details is the body of an error. Code is the same as in the socket's acks.
type Details struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   wire.Code `json:"code"`
}

// Write answers a request with a problem; detail is for a person.
func Write(w http.ResponseWriter, code wire.Code, status int, detail string) {
	h := w.Header()
	h.Del("Content-Encoding")
	h.Del("ETag")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if code == wire.CodeUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ridehail"`)
	}

	w.WriteHeader(status)

	p := Details{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}

	// The client may be gone; then there is nothing to do.
	_ = json.NewEncoder(w).Encode(p)
}
