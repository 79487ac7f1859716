package faults

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/xray"
)

// ask asks a desk and returns the status and the body.
func ask(t *testing.T, d *Desk, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:999"
	for i := 0; i < len(headers); i += 2 {
		switch headers[i] {
		case "Remote":
			r.RemoteAddr = headers[i+1]
		case "Host":
			r.Host = headers[i+1]
		default:
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

func TestAPageSwitchesAndListsOverHTTP(t *testing.T) {
	var b breakage
	d := b.desk(t, 0)

	status, text := ask(t, d, "PUT", Path+"/test", `{"on":true,"page":"p"}`, "Sec-Fetch-Site", "same-origin")
	var f xray.Fault
	if err := json.Unmarshal([]byte(text), &f); err != nil || status != 200 || !f.On || f.By != "p" || !b.broken.Load() {
		t.Errorf("%d %s", status, text)
	}
	if status, text := ask(t, d, "GET", Path, ""); status != 200 || !strings.Contains(text, `{"faults":[{"id":"test"`) || !strings.Contains(text, `"on":true`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := ask(t, d, "PUT", Path+"/test", `{"on":false}`); status != 200 || b.broken.Load() {
		t.Errorf("%d %s", status, text)
	}

	switchOn(t, d, "q")
	if status, text := ask(t, d, "DELETE", Path, ""); status != 200 || b.broken.Load() || !strings.Contains(text, `"on":false`) {
		t.Errorf("%d %s", status, text)
	}
}

func TestARefusedSwitchSaysWhyAndBreaksNothing(t *testing.T) {
	const on = `{"on":true,"page":"p"}`
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"another machine":       {"PUT", "/test", on, []string{"Remote", "192.0.2.1:5"}, http.StatusForbidden, "forbidden"},
		"behind a proxy":        {"PUT", "/test", on, []string{"X-Forwarded-For", "192.0.2.1"}, http.StatusForbidden, "forbidden"},
		"a foreign name":        {"PUT", "/test", on, []string{"Host", "evil.example"}, http.StatusForbidden, "forbidden"},
		"another site's page":   {"PUT", "/test", on, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "forbidden"},
		"another port's page":   {"DELETE", "", "", []string{"Origin", "http://127.0.0.1:5"}, http.StatusForbidden, "forbidden"},
		"a list from elsewhere": {"GET", "", "", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "forbidden"},
		"no such fault":         {"PUT", "/flood", on, nil, http.StatusNotFound, "not_found"},
		"no page":               {"PUT", "/test", `{"on":true}`, nil, http.StatusBadRequest, "bad_field"},
		"a long page":           {"PUT", "/test", `{"on":true,"page":"` + strings.Repeat("p", 65) + `"}`, nil, http.StatusBadRequest, "bad_field"},
		"neither on nor off":    {"PUT", "/test", `{"page":"p"}`, nil, http.StatusBadRequest, "bad_field"},
		"no JSON":               {"PUT", "/test", `on`, nil, http.StatusBadRequest, "bad_field"},
		"too much":              {"PUT", "/test", `"` + strings.Repeat("x", maxBody) + `"`, nil, http.StatusBadRequest, "bad_field"},
		"it has ended":          {"PUT", "/test", `{"on":true,"page":"p","keep":true}`, nil, http.StatusConflict, "fault_over"},
		"another method":        {"POST", "/test", on, nil, http.StatusNotFound, "no_such_endpoint"},
	} {
		var b breakage
		status, text := ask(t, b.desk(t, 0), c.method, Path+c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(text, `"code":"`+c.code+`"`) || b.broken.Load() {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}
