package gateway

import (
	"net/http"
	"time"

	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const devTokenFor = 24 * time.Hour

type devToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// postDevToken gives anyone a token for anybody: for simulators, the page on a laptop, and tests. Off unless asked for.
func (g *door) postDevToken(w http.ResponseWriter, r *http.Request) {
	if !g.cfg.DevTokens {
		writeProblem(w, wire.CodeNoSuchEndpoint, http.StatusNotFound,
			"This node issues no development tokens; start it with --dev-tokens to try things out, never in production.")
		return
	}
	var ask struct {
		Role trips.Role `json:"role"`
		ID   string     `json:"id"`
	}
	if err := readJSON(r, &ask); err != nil {
		fail(w, err)
		return
	}
	token, err := g.cfg.Auth.Issue(ask.Role, ask.ID, devTokenFor)
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, devToken{Token: token, ExpiresAt: g.cfg.Now().Add(devTokenFor)}, g.cfg.Log)
}
