package gateway

import (
	"net/http"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// postRevocation takes a token, or all of a user's, from whoever has them: for operators only.
func (g *door) postRevocation(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Token string     `json:"jti"`
		Role  trips.Role `json:"role"`
		ID    string     `json:"id"`
	}
	if err := readJSON(r, &ask); err != nil {
		fail(w, err)
		return
	}
	one, all := ask.Token != "", usable(trips.Actor{Role: ask.Role, ID: ask.ID})
	if one == all || one && (ask.Role != "" || ask.ID != "" || !plainID(ask.Token)) {
		fail(w, refuse(wire.CodeBadField, `Give either "jti", or "role" (driver or rider) and "id".`))
		return
	}
	g.cfg.Log.Info("an operator revokes tokens", "jti", ask.Token, "role", ask.Role, "id", ask.ID)
	if err := g.cfg.Revoke(r.Context(), revocation{Token: ask.Token, Role: ask.Role, ID: ask.ID}); err != nil {
		g.cfg.Log.Error("a revocation did not reach all nodes", "err", err)
		fail(w, refuse(wire.CodeUnavailable, "Revoked on this node; the others may not know yet. Send it again."))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "revoked"}, g.cfg.Log)
}
