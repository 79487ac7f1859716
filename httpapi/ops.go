package httpapi

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/wire/translate"
)

// opsMost is how many open alerts an operator sees at a time.
const opsMost = 200

//go:embed ops.html
var opsHTML string

var opsPage = template.Must(template.New("ops").Parse(opsHTML))

// getOps is the operators' page: the calls for help that wait. It has no
// script: it loads itself again, and each alert has a form with one button.
func (a *API) getOps(w http.ResponseWriter, r *http.Request) {
	open, err := a.cfg.Alerts.OpenAlerts(r.Context(), opsMost)
	if err != nil {
		a.logAndWriteError(w, r, err)
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
	}{open, opsMost, a.listSuspects()})
	if err != nil {
		a.cfg.Log.Warn("the operators' page broke off", "err", err)
	}
}

func (a *API) listAlerts(w http.ResponseWriter, r *http.Request) {
	open, err := a.cfg.Alerts.OpenAlerts(r.Context(), opsMost)
	if err != nil {
		a.logAndWriteError(w, r, err)
		return
	}
	a.writeJSON(w, http.StatusOK, map[string][]sos.Alert{"alerts": append([]sos.Alert{}, open...)})
}

// getSuspects is the page's list of suspects, for a script.
func (a *API) getSuspects(w http.ResponseWriter, _ *http.Request) {
	a.writeJSON(w, http.StatusOK, map[string][]suspect{"suspects": append([]suspect{}, a.listSuspects()...)})
}

// postTripCancel ends an active trip in the name of the operators, at no
// charge: also one whose driver can neither complete nor cancel it. A page of
// another origin must not be able to do so.
func (a *API) postTripCancel(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if http.NewCrossOriginProtection().Check(r) != nil {
		writeError(w, translate.Refuse(wire.CodeForbidden, "Trips are cancelled by a script, not from another page."))
		return
	}
	if !translate.IsPlainID(id) {
		writeError(w, trips.ErrNotFound)
		return
	}

	by := trips.System("operators")
	key := trips.IdempotencyKey{Actor: by, ID: id, Fingerprint: "cancel " + id}
	ev, err := a.cfg.Trips.Apply(r.Context(), key, trips.TripID(id), func(t trips.Trip, at time.Time) (trips.Event, error) {
		return t.Cancel(by, "cancelled_by_operators", at)
	})
	if err != nil {
		a.logAndWriteError(w, r, err)
		return
	}

	a.cfg.Log.Info("an operator cancelled a trip", "trip", id)
	a.writeJSON(w, http.StatusOK, asJSON(translate.EncodeTrip(ev.Trip)))
}

// postAlertAck acknowledges an alert, for a script or for the page's button. A
// page of another origin that an operator has open must not be able to press
// it.
func (a *API) postAlertAck(w http.ResponseWriter, r *http.Request) {
	if http.NewCrossOriginProtection().Check(r) != nil {
		writeError(w, translate.Refuse(wire.CodeForbidden,
			"Alerts are acknowledged from the operators' page or by a script, not from another page."))
		return
	}
	id := r.PathValue("id")
	if !translate.IsPlainID(id) {
		writeError(w, sos.ErrNotFound)
		return
	}

	alert, err := a.cfg.Alerts.AcknowledgeAlert(r.Context(), id, a.cfg.Now())
	if err != nil {
		a.logAndWriteError(w, r, err)
		return
	}

	a.cfg.Log.Info("an operator acknowledged a call for help", "alert", alert.ID, "trip", alert.Trip)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/ops", http.StatusSeeOther)
		return
	}
	a.writeJSON(w, http.StatusOK, alert)
}
