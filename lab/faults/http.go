package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ridehail/ridehail/internal/loopback"
	"github.com/ridehail/ridehail/internal/problem"
	"github.com/ridehail/ridehail/wire"
	"github.com/ridehail/ridehail/xray"
)

// Path is where a node serves Handler, with all below it.
const Path = "/xray/api/faults"

const (
	maxBody = 4 << 10
	maxPage = 64 // bytes of a page's id

	codeImpossible wire.Code = "fault_impossible" // such a part is not there
	codeOver       wire.Code = "fault_over"       // it ended before its page asked to keep it
)

// request is what a page asks of a switch. A page that repeats it every 10 s
// keeps the fault on.
type request struct {
	On   *bool  `json:"on"`
	Page string `json:"page"` // an id that the page has drawn; needed to switch on
	Keep bool   `json:"keep"` // only while it is on: never switch it on again
}

// listed is the answer with all switches.
type listed struct {
	Faults []xray.Fault `json:"faults"`
}

// Handler lists the switches at Path (GET), switches all off (DELETE), and
// switches one at Path/ID (PUT). It answers this machine only, and of browsers'
// pages only the node's own.
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, listed{d.Faults()}) })
	mux.HandleFunc("DELETE "+Path, func(w http.ResponseWriter, _ *http.Request) {
		d.SwitchAllOff()
		writeJSON(w, listed{d.Faults()})
	})
	mux.HandleFunc("PUT "+Path+"/{id}", d.putFault)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, wire.CodeNoSuchEndpoint, http.StatusNotFound, "The faults have no such endpoint: GET or DELETE "+Path+", PUT "+Path+"/{id}.")
	})
	return loopback.Only("A fault switch", mux)
}

func (d *Desk) putFault(w http.ResponseWriter, r *http.Request) {
	asked, err := readRequest(w, r)
	if err != nil {
		problem.Write(w, wire.CodeBadField, http.StatusBadRequest, err.Error())
		return
	}

	var shown xray.Fault
	if *asked.On {
		shown, err = d.SwitchOn(r.Context(), r.PathValue("id"), asked.Page, asked.Keep)
	} else {
		shown, err = d.SwitchOff(r.PathValue("id"))
	}
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, shown)
}

func readRequest(w http.ResponseWriter, r *http.Request) (asked request, err error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(text, &asked)
	}
	switch {
	case err != nil:
		return asked, fmt.Errorf("the body must be JSON with on and page: %w", err)
	case asked.On == nil:
		return asked, errors.New("on is missing: say true or false")
	case *asked.On && (asked.Page == "" || len(asked.Page) > maxPage):
		return asked, fmt.Errorf("page must be an id of 1 to %d bytes, so that the fault ends with its page", maxPage)
	}
	return asked, nil
}

// refuse says why a switch stays as it is.
func refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errUnknown):
		problem.Write(w, wire.CodeNotFound, http.StatusNotFound, "There is no such fault; GET "+Path+" lists all.")
	case errors.Is(err, errImpossible):
		problem.Write(w, codeImpossible, http.StatusConflict, err.Error())
	case errors.Is(err, errOver):
		problem.Write(w, codeOver, http.StatusConflict, err.Error())
	default:
		problem.Write(w, wire.CodeUnavailable, http.StatusServiceUnavailable, "The switch stays as it is: "+err.Error())
	}
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// It fails only if the client is gone.
	_ = json.NewEncoder(w).Encode(answer)
}
