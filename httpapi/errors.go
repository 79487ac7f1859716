package httpapi

import (
	"net/http"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// writeError answers with the error's problem.
func writeError(w http.ResponseWriter, err error) {
	code, text := translate.ExplainError(err)
	problem.Write(w, code, statusOf(code), text)
}

// logAndWriteError answers with the error's problem, and logs what our side
// could not do.
func (a *API) logAndWriteError(w http.ResponseWriter, r *http.Request, err error) {
	if translate.IsUnavailable(err) && r.Context().Err() == nil {
		a.cfg.Log.Warn("a request failed", "path", r.URL.Path, "err", err)
	}
	writeError(w, err)
}

// statusOf is the one table from codes to HTTP statuses.
func statusOf(c wire.Code) int {
	switch c {
	case "":
		return http.StatusOK
	case wire.CodeBadFrame, wire.CodeBadField, wire.CodeBadText:
		return http.StatusBadRequest
	case wire.CodeUnauthorized:
		return http.StatusUnauthorized
	case wire.CodeForbidden:
		return http.StatusForbidden
	case wire.CodeNotFound, wire.CodeNoSuchEndpoint, wire.CodeNotTraced:
		return http.StatusNotFound
	case wire.CodeMethod:
		return http.StatusMethodNotAllowed
	case wire.CodeIllegalMove, wire.CodeTooFar, wire.CodeNoPosition, wire.CodeTaken, wire.CodeRiderBusy, wire.CodeConflict, wire.CodeOfferGone, wire.CodeChatClosed,
		wire.CodeQuoteExpired:
		return http.StatusConflict
	case wire.CodeKeyReused, wire.CodeOutsideCity, wire.CodeBadQuote:
		return http.StatusUnprocessableEntity
	case wire.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case wire.CodeTooMany:
		return http.StatusTooManyRequests
	case wire.CodeUnavailable:
		return http.StatusServiceUnavailable
	}

	return http.StatusInternalServerError
}
