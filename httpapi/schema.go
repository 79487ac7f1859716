package httpapi

import (
	"io"
	"net/http"

	"github.com/ridehail/ridehail/wire"
)

// getSchema serves the schema of the frames that this node understands.
func getSchema(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache") // another build has another one
	_, _ = io.WriteString(w, wire.Schema)       // the client may be gone
}
