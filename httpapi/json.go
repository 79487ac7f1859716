package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// writeJSON writes an answer and returns how many bytes it has.
func (a *API) writeJSON(w http.ResponseWriter, status int, body any) int {
	data, err := json.Marshal(body)
	if err != nil {
		a.cfg.Log.Error("an answer cannot be encoded", "err", err)
		problem.Write(w, wire.CodeInternal, http.StatusInternalServerError, "This is our fault and is in our log.")
		return 0
	}

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone; nothing else to do about it
	return len(data)
}

// readJSON reads one JSON object in UTF-8: no unknown fields, nothing after it,
// within the bound.
func readJSON(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return translate.Refuse(wire.CodeBadFrame, "Send the body as Content-Type: application/json.")
	}

	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return explainBadBody(err)
	case !utf8.Valid(body): // the decoder would put U+FFFD in the place of each such byte
		return translate.Refuse(wire.CodeBadFrame, "The body is not UTF-8.")
	}

	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return explainBadBody(err)
	}

	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return translate.Refuse(wire.CodeBadFrame, "Send one JSON object and nothing after it.")
	}

	return nil
}

func explainBadBody(err error) error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return translate.Refuse(wire.CodeTooLarge, "The body is over 4 KiB; send less.")
	}
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) && wrong.Field != "" {
		return translate.Refuse(wire.CodeBadField, "The field "+strconv.Quote(wrong.Field)+" has the wrong type.")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return translate.Refuse(wire.CodeBadFrame, "The body has the unknown field "+name+"; leave it out.")
	}
	return translate.Refuse(wire.CodeBadFrame, "The body is not one JSON object.")
}

// asJSON is a frame's JSON as the socket sends it; compacted, because protojson
// varies its spaces on purpose.
func asJSON(m proto.Message) json.RawMessage {
	data, err := wire.JSON.Append(nil, m)
	var out bytes.Buffer
	if err != nil || json.Compact(&out, data) != nil {
		// It happens only for text that is not UTF-8, which neither API takes.
		return json.RawMessage("null")
	}
	return out.Bytes()
}

func listAsJSON[T any, M proto.Message](list []T, convert func(T) M) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(list))
	for _, v := range list {
		out = append(out, asJSON(convert(v)))
	}
	return out
}
