package webtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ridehail/ridehail/tracing"
	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/xray"
)

// xrayNode answers what the X-ray page asks of a node.
type xrayNode struct {
	url string

	mu     sync.Mutex // guards the fields below
	rides  []*xray.Ride
	median *xray.Median
	isAway bool
	token  string // that a ride is shown for; empty: any
}

func newXrayNode(t *testing.T, rides ...*xray.Ride) *xrayNode {
	n := &xrayNode{rides: rides, median: &xray.Median{}}
	mux := http.NewServeMux()
	mux.Handle("/xray", web.XrayHandler())
	mux.Handle("/xray/", web.XrayHandler())
	mux.Handle("/", web.Handler())
	mux.HandleFunc("GET /v1/xray", n.serveList)
	mux.HandleFunc("GET /v1/xray/median", func(w http.ResponseWriter, _ *http.Request) { n.answer(w, func() any { return n.median }) })
	mux.HandleFunc("GET /v1/xray/{trip}", n.serveRide)
	mux.HandleFunc("POST /v1/dev/tokens", func(w http.ResponseWriter, r *http.Request) {
		var who struct{ ID string }
		_ = json.NewDecoder(r.Body).Decode(&who)
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "of-" + who.ID})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	n.url = s.URL
	return n
}

// change changes what the node knows.
func (n *xrayNode) change(how func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	how()
}

func (n *xrayNode) answer(w http.ResponseWriter, what func() any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isAway {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(what())
}

func (n *xrayNode) serveList(w http.ResponseWriter, _ *http.Request) {
	n.answer(w, func() any {
		kept := xray.Kept{Trips: []xray.KeptTrip{}}
		for _, r := range n.rides {
			t := xray.KeptTrip{ID: r.Trip, BeganMs: r.Phases[0].BeganAt, Hops: len(r.Phases)}
			if r.State == "completed" {
				t.EndedMs = t.BeganMs + float64(r.Duration)/1e6
			}
			kept.Trips = append(kept.Trips, t)
		}
		return kept
	})
}

func (n *xrayNode) serveRide(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	token := n.token
	var found *xray.Ride
	for _, ride := range n.rides {
		if ride.Trip == r.PathValue("trip") {
			found = ride
		}
	}
	n.mu.Unlock()

	status, code := 0, ""
	switch {
	case token != "" && r.Header.Get("Authorization") == "":
		status, code = http.StatusUnauthorized, "no_token"
	case token != "" && r.Header.Get("Authorization") != "Bearer "+token:
		status, code = http.StatusNotFound, "trip_not_found"
	case found == nil:
		status, code = http.StatusNotFound, "not_traced"
	}
	if status != 0 {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q,"detail":"1 in 100 trips is recorded."}`, code)
		return
	}
	n.answer(w, func() any { return found })
}

// openXray opens the page and waits for a trip.
func openXray(t *testing.T, n *xrayNode, path string, screen Screen, preferences ...string) *Tab {
	tab := openTabAt(labContext(t), t, n.url, path, screen, preferences...)
	tab.WaitUntil(`document.querySelector("#tree .row") !== null`, pageTimeout)
	return tab
}

// selectedRow is the text of the row that is selected.
const selectedRow = `(document.querySelector("#tree .row[aria-selected=true]")?.textContent ?? "")`

func TestARideIsReadHopByHopWithKeys(t *testing.T) {
	ride := exampleRide()
	n := newXrayNode(t, ride, slowerRide())
	n.median = exampleMedian(ride, 100)
	tab := openXray(t, n, "/xray", Screen{"xray", 1440, 900}, "prefers-reduced-motion: reduce")
	tab.WaitUntil(`document.querySelector("#tree .row[aria-selected=true]") !== null && location.search.startsWith("?trip=`+exampleTrip+`&hop=")`, pageTimeout)
	tab.checkThat("the tree says how many rows it has", `document.getElementById("tree").ariaRowCount ?? document.getElementById("tree").getAttribute("aria-rowcount")`, fmt.Sprint(1+evalInPage[int](tab, `document.querySelectorAll("#tree .canvas .row").length`)))
	tab.checkThat("the batch, the missing hop and the failure are drawn", `[".batch", ".missing", ".failed", ".ghost", ".doubt"].filter((c) => !document.querySelector("#tree " + c)).join()`, "")

	tab.RunAction("go to the tree", chromedp.Focus("#tree"))
	tab.press(kb.Home)
	tab.WaitUntil(selectedRow+`.startsWith("Quote")`, pageTimeout)
	tab.press(kb.ArrowRight, kb.ArrowDown, kb.ArrowDown)
	tab.WaitUntil(selectedRow+`.includes("Gateway → Routing")`, pageTimeout)
	tab.press(kb.Enter)
	tab.WaitUntil(`document.activeElement.id === "drawer-title" && document.querySelector("#drawer .figure").textContent.startsWith("560 µs")`, pageTimeout)
	tab.press(kb.Escape)
	tab.WaitUntil(`document.activeElement.id === "tree" && document.getElementById("drawer").hidden`, pageTimeout)
	tab.press(kb.ArrowLeft, kb.ArrowLeft, "]")
	tab.WaitUntil(selectedRow+`.startsWith("Request")`, pageTimeout)
	tab.press("g", "d")
	tab.WaitUntil(`document.querySelector("#tree .ghost, #tree .doubt") === null`, pageTimeout)

	tab.Click("#share-rest-queue")
	tab.WaitUntil(`[...document.querySelectorAll("#tree .hop")].length > 3 && [...document.querySelectorAll("#tree .hop")].every((r) => /wait|line/.test(r.textContent))`, pageTimeout)
	tab.Click("#only-wait")
	tab.Click("#only-unseen")
	tab.WaitUntil(`document.querySelectorAll("#tree .hop").length === 1 && document.querySelector("#tree .hop.unseen") !== null`, pageTimeout)
	tab.Click("#only-unseen")

	tab.press("b")
	tab.WaitUntil(`document.querySelectorAll("#beside-picker button.trip").length === 2`, pageTimeout)
	tab.Click("#beside-picker-slowest")
	tab.WaitUntil(`document.querySelectorAll("#tree .second").length > 5 && document.getElementById("beside").textContent.startsWith("Beside ")`, pageTimeout)
	tab.CheckClean()
}

// longRide has more hops in one phase than a page holds as rows.
func longRide() *xray.Ride {
	r := exampleRide()
	r.Trip = strings.Replace(r.Trip, "7f3a", "22bb", 1)
	var hops []xray.Hop
	for i := range 240 {
		hops = append(hops, seenHop("read_back", "", "", "node-1", float64(i)*10, 9, i))
	}
	hops[7].Failed = true
	r.Phases = []xray.Phase{phaseOf(tracing.Takeover, 1, 0, hops...)}
	return r
}

func TestRowsAreRecycledWhenThereAreMany(t *testing.T) {
	tab := openXray(t, newXrayNode(t, longRide()), "/xray", Desktop)
	tab.checkThat("the tree tells the true count", `document.getElementById("tree").getAttribute("aria-rowcount")`, "242")
	tab.RunAction("go to the tree", chromedp.Focus("#tree"))
	tab.press(kb.End)
	tab.WaitUntil(`document.querySelector("#tree .row[aria-selected=true]")?.getAttribute("aria-rowindex") === "242"`, pageTimeout)
	if n := evalInPage[int](tab, `document.querySelectorAll("#tree .canvas .row").length`); n > 100 {
		t.Errorf("%d rows are in the page", n)
	}
	tab.CheckClean()
}

// checkThat compares what an expression gives as text.
func (tab *Tab) checkThat(what, expression, want string) {
	tab.t.Helper()
	if got := evalInPage[string](tab, "String("+expression+")"); got != want {
		tab.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func slowerRide() *xray.Ride {
	r := exampleRide()
	r.Trip = strings.Replace(r.Trip, "7f3a", "11aa", 1)
	for i := range r.Phases {
		for j := range r.Phases[i].Hops {
			r.Phases[i].Hops[j].Duration *= 2
		}
	}
	return r
}

func TestARideThatGoesOnGrowsWithoutAJump(t *testing.T) {
	whole := exampleRide()
	now := *whole
	now.State, now.Phases = "requested", whole.Phases[:3]
	n := newXrayNode(t, &now)
	tab := openXray(t, n, "/xray?trip="+exampleTrip, Desktop)
	tab.WaitUntil(`document.querySelector("#head .ongoing") !== null && document.querySelectorAll("#tree .phase").length === 3`, pageTimeout)
	tab.RunAction("go to the tree", chromedp.Focus("#tree"))
	tab.press(kb.Home, kb.ArrowDown)
	before := evalInPage[string](tab, selectedRow)

	more := now
	more.State, more.Phases = "on_trip", whole.Phases[:20]
	n.change(func() { n.rides[0] = &more })
	tab.WaitUntil(`document.querySelectorAll("#tree .phase").length > 5`, pageTimeout)
	tab.checkThat("the same row stays selected", selectedRow, before)
	tab.checkThat("nothing jumped", `document.getElementById("tree").scrollTop`, "0")
	tab.checkThat("the keyboard stays", `document.activeElement.id`, "tree")

	n.change(func() { n.isAway = true })
	tab.WaitUntil(`/may be old/.test(document.getElementById("notice").textContent)`, pageTimeout)
	n.change(func() { n.isAway, n.rides[0] = false, whole })
	tab.WaitUntil(`document.querySelector("#head .ongoing") === null && document.getElementById("notice").hidden && /Receipt/.test(document.getElementById("tree").textContent + [...document.querySelectorAll(".row")].map((r) => r.textContent))`, pageTimeout)
	tab.CheckClean()
}

func TestHostileNamesInARideStayText(t *testing.T) {
	const attack = `"><img src=x onerror="window.attacked = 1"><script>window.attacked = 1</script>`
	r := exampleRide()
	r.From, r.To, r.Nodes[0].Name, r.Nodes[0].Missing = attack, attack, attack, true
	for i := range r.Phases {
		p := &r.Phases[i]
		p.GapWhat, p.BatchNote = attack, attack
		if i == 2 {
			p.Name = tracing.Phase(attack)
		}
		for j := range p.Hops {
			h := &p.Hops[j]
			h.Frame, h.Reason, h.Code, h.What, h.Source, h.Experiment, h.From = `{"a":"`+attack+`"}`, attack, attack, attack, attack, attack, tracing.Part(attack)
		}
	}
	n := newXrayNode(t, r)
	tab := openXray(t, n, "/xray?hop=2", Screen{"hostile", 1440, 900})
	tab.WaitUntil(`document.querySelector("#drawer pre") !== null`, pageTimeout)
	tab.checkThat("nothing of it became markup", `[window.attacked, document.querySelectorAll("#page img, #page script").length].join()`, ",0")
	tab.CheckClean()
}

func TestWithoutATripThePageSaysWhy(t *testing.T) {
	n := newXrayNode(t)
	tab := openTabAt(labContext(t), t, n.url, "/xray", Phone)
	tab.WaitUntil(`document.body.dataset.state === "empty" && document.querySelector("#trip a.primary").getAttribute("href") === "/"`, pageTimeout)
	n.change(func() { n.rides = append(n.rides, exampleRide()) })
	tab.WaitUntil(`document.body.dataset.state === "trip"`, pageTimeout)

	evalInPage[bool](tab, `(history.pushState(null, "", "/xray?trip=0e9a2c1e-90b4-4d6f-8a51-5e0c9d7b2a64"), dispatchEvent(new PopStateEvent("popstate")), true)`)
	tab.WaitUntil(`document.body.dataset.state === "not_traced" && document.getElementById("state-words").textContent.includes("1 in 100 trips")`, pageTimeout)

	n.change(func() { n.token = "of-rider-7" })
	evalInPage[bool](tab, `(localStorage.setItem("ridehail.rider", "rider-7"), history.pushState(null, "", "/xray?trip=`+exampleTrip+`"), dispatchEvent(new PopStateEvent("popstate")), true)`)
	tab.WaitUntil(`document.body.dataset.state === "trip" && document.querySelector("#tree .row") !== null`, pageTimeout)
	tab.CheckClean()
}

func TestTheXrayIsLegibleAndFitsAPhone(t *testing.T) {
	ride := exampleRide()
	n := newXrayNode(t, ride)
	n.median = exampleMedian(ride, 100)
	tab := openXray(t, n, "/xray", Phone, "prefers-color-scheme: dark")
	tab.checkLegible("phone, dark")
	was := evalInPage[string](tab, `document.querySelector("#phase .of").textContent`)
	tab.Click("#next")
	tab.WaitUntil(`document.querySelector("#phase .of").textContent !== "`+was+`"`, pageTimeout)
	tab.Click("#look-inside")
	tab.WaitUntil(`!document.getElementById("drawer").hidden && document.activeElement.id === "drawer-title"`, pageTimeout)
	tab.checkLegible("phone, dark, inside")

	desk := openXray(t, n, "/xray", Screen{"desk", 1440, 900})
	desk.checkLegible("desk, light")
	desk.CheckClean()
	tab.CheckClean()
}

func (tab *Tab) checkLegible(state string) {
	tab.t.Helper()
	for _, found := range evalInPage[[]string](tab, legibility) {
		tab.t.Errorf("%s: %s", state, found)
	}
}

// TestTheXrayIsPictured saves pictures, for people to look at.
func TestTheXrayIsPictured(t *testing.T) {
	if os.Getenv("RIDEHAIL_SHOTS") == "" {
		t.Skip("no folder for pictures in RIDEHAIL_SHOTS")
	}
	ride := exampleRide()
	n := newXrayNode(t, ride, slowerRide())
	n.median = exampleMedian(ride, 100)
	for _, screen := range []Screen{{"xray-desk", 1440, 900}, {"xray-tablet", 1024, 768}, {"xray-phone", 390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			tab := openXray(t, n, "/xray", screen, "prefers-color-scheme: "+scheme)
			tab.Screenshot(scheme)
		}
	}
}
