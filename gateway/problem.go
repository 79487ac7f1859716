package gateway

import (
	"encoding/json"
	"net/http"

	"github.com/ridehail/ridehail/wire"
)

// problem is an error as HTTP tells it (RFC 9457). Code is the same as in the socket's acks.
type problem struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   wire.Code `json:"code"`
}

// fail answers with the error's problem.
func fail(w http.ResponseWriter, err error) {
	code, status, text := codeOf(err)
	writeProblem(w, code, status, text)
}

func writeProblem(w http.ResponseWriter, code wire.Code, status int, detail string) {
	h := w.Header()
	h.Del("Content-Encoding")
	h.Del("ETag")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if code == wire.CodeUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ridehail"`)
	}
	w.WriteHeader(status)
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
	_ = json.NewEncoder(w).Encode(p) // the client may be gone; nothing else to do about it
}
