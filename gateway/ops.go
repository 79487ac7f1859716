package gateway

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/wire"
)

// opsMost is how many open alerts an operator sees at a time.
const opsMost = 200

//go:embed ops.html
var opsHTML string

var opsPage = template.Must(template.New("ops").Parse(opsHTML))

// ops adds the operators' pages: calls for help that wait for somebody, and their acknowledgement. They are for the
// admin door only.
func (g *door) ops(mux *http.ServeMux) {
	handle := func(path string, m methods) { mux.Handle(path, g.guarded(path, m)) }
	handle("/ops", methods{"GET": g.getOps})
	handle("/ops/alerts", methods{"GET": g.listAlerts})
	handle("/ops/alerts/{id}/ack", methods{"POST": g.postAlertAck})
}

// getOps is a page without a script: it loads itself again, and each alert has a form with one button.
func (g *door) getOps(w http.ResponseWriter, r *http.Request) {
	open, err := g.cfg.Alerts.OpenAlerts(r.Context(), opsMost)
	if err != nil {
		g.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	err = opsPage.Execute(w, struct {
		Alerts   []sos.Alert
		Most     int
		Suspects []suspect
	}{open, opsMost, g.suspected()})
	if err != nil {
		g.cfg.Log.Warn("the operators' page broke off", "err", err)
	}
}

func (g *door) listAlerts(w http.ResponseWriter, r *http.Request) {
	open, err := g.cfg.Alerts.OpenAlerts(r.Context(), opsMost)
	if err != nil {
		g.failed(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]sos.Alert{"alerts": append([]sos.Alert{}, open...)}, g.cfg.Log)
}

// postAlertAck acknowledges an alert, for a script or for the page's button. A page of another origin that an operator
// has open must not be able to press it.
func (g *door) postAlertAck(w http.ResponseWriter, r *http.Request) {
	if http.NewCrossOriginProtection().Check(r) != nil {
		fail(w, refuse(wire.CodeForbidden, "Alerts are acknowledged from the operators' page or by a script, not from another page."))
		return
	}
	id := r.PathValue("id")
	if !plainID(id) {
		fail(w, sos.ErrNotFound)
		return
	}
	a, err := g.cfg.Alerts.AckAlert(r.Context(), id, g.cfg.Now())
	if err != nil {
		g.failed(w, r, err)
		return
	}
	g.cfg.Log.Info("an operator acknowledged a call for help", "alert", a.ID, "trip", a.Trip)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/ops", http.StatusSeeOther)
		return
	}
	writeJSON(w, http.StatusOK, a, g.cfg.Log)
}

// failed answers an operator, and logs what our side could not do.
func (g *door) failed(w http.ResponseWriter, r *http.Request, err error) {
	if code, _, _ := codeOf(err); code == wire.CodeUnavailable && r.Context().Err() == nil {
		g.cfg.Log.Warn("a request failed", "path", r.URL.Path, "err", err)
	}
	fail(w, err)
}
