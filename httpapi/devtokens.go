package httpapi

import (
	"net/http"
	"time"

	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

const devTokenLifetime = 24 * time.Hour

type devToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// postDevToken gives anyone a token for any user: for simulators, the page on a
// laptop, and tests. It is off unless asked for.
func (a *API) postDevToken(w http.ResponseWriter, r *http.Request) {
	if !a.cfg.DevTokens {
		problem.Write(w, wire.CodeNoSuchEndpoint, http.StatusNotFound,
			"This node issues no development tokens; start it with --dev-tokens to try things out, never in production.")
		return
	}

	var ask struct {
		Role trips.Role `json:"role"`
		ID   string     `json:"id"`
	}
	if err := readJSON(r, &ask); err != nil {
		writeError(w, err)
		return
	}

	token, err := a.cfg.Tokens.Issue(ask.Role, ask.ID, devTokenLifetime)
	if err != nil {
		writeError(w, err)
		return
	}

	a.writeJSON(w, http.StatusOK, devToken{Token: token, ExpiresAt: a.cfg.Now().Add(devTokenLifetime)})
}
