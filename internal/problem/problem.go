// Package problem writes errors as HTTP problem details (RFC 9457), for the
// HTTP API and for requests that do not become a socket.
package problem

import (
	"encoding/json"
	"net/http"

	"github.com/ridehail/ridehail/wire"
)

// Details is the body of an error. Code has the same values as in acks.
type Details struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   wire.Code `json:"code"`
}

// Write answers a request with a problem. detail explains it to a person. What
// is unavailable may be tried again in a second, unless the header Retry-After
// already says when.
func Write(w http.ResponseWriter, code wire.Code, status int, detail string) {
	h := w.Header()
	h.Del("Content-Encoding")
	h.Del("ETag")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if code == wire.CodeUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ridehail"`)
	}

	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "1")
	}

	w.WriteHeader(status)

	// An error means that the client is gone.
	_ = json.NewEncoder(w).Encode(Details{Type: "about:blank", Title: http.StatusText(status),
		Status: status, Detail: detail, Code: code})
}
