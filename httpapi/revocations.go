package httpapi

import (
	"net/http"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// postRevocation refuses one token, or all of a user's, from now on. It is for
// operators only.
func (a *API) postRevocation(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Token string     `json:"jti"`
		Role  trips.Role `json:"role"`
		ID    string     `json:"id"`
	}
	if err := readJSON(r, &ask); err != nil {
		writeError(w, err)
		return
	}

	user := trips.Actor{Role: ask.Role, ID: ask.ID}
	one, all := ask.Token != "", auth.MayHoldToken(user)
	if one == all || one && (user != trips.Actor{} || !translate.IsPlainID(ask.Token)) {
		writeError(w, translate.Refuse(wire.CodeBadField, `Give either "jti", or "role" (driver or rider) and "id".`))
		return
	}

	a.cfg.Log.Info("an operator revokes tokens", "jti", ask.Token, "role", ask.Role, "id", ask.ID)
	var err error
	if one {
		err = a.cfg.Revocations.RevokeToken(r.Context(), ask.Token)
	} else {
		err = a.cfg.Revocations.RevokeUser(r.Context(), user)
	}

	if err != nil {
		a.cfg.Log.Error("a revocation did not reach all nodes", "err", err)
		writeError(w, translate.Refuse(wire.CodeUnavailable, "Revoked on this node; the others may not know yet. Send it again."))
		return
	}
	a.writeJSON(w, http.StatusOK, map[string]string{"status": "revoked"})
}
