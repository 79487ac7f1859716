package webtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// mapLives is true once the map shows figures.
const mapLives = `document.querySelector('.marks[data-line="rider_phone-gateway:socket"] .rate')?.textContent === "410/s"`

// rateIs is true when these words stand above a line.
func rateIs(line, words string) string {
	return fmt.Sprintf(`document.querySelector('.marks[data-line="%s"] .rate').textContent === %q`, line, words)
}

// openMap opens the page and waits for its first figures.
func openMap(t *testing.T, node *fakeLive, screen Screen, preferences ...string) *Tab {
	t.Helper()
	tab := openTabAt(labContext(t), t, node.URL, "/xray", screen, preferences...)
	tab.WaitUntil(mapLives, pageTimeout)
	return tab
}

// clickAt clicks where the middle of an element is. It finds the place by a
// script, because the page changes its texts all the time.
func (tab *Tab) clickAt(selector string) {
	tab.t.Helper()
	at := evalInPage[[]float64](tab, fmt.Sprintf(`(() => { const b = document.querySelector(%q).getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2] })()`, selector))
	tab.RunAction("click "+selector, chromedp.MouseClickXY(at[0], at[1]))
}

func TestTheMapShowsAFaultBesideItsEffect(t *testing.T) {
	node := newFakeLive(t)
	tab := openMap(t, node, Screen{"desk", 1440, 900})
	node.change(func(f *fakeLive) { f.event.line("gateway-memory:memory").RateHz = 2001 })
	tab.WaitUntil(rateIs("gateway-memory:memory", "2,001/s"), pageTimeout)

	tab.clickAt("#fault-redis_away")
	tab.WaitUntil(`document.querySelector("[data-fault=redis_away] .note").textContent.startsWith("on for 1") &&
		document.querySelector("[data-fault=redis_away] .sentence").textContent === "waiting for the effect"`, pageTimeout)
	node.change((*fakeLive).cutRedis)
	tab.WaitUntil(`document.getElementById("fault-news").textContent.startsWith("Cut Redis: Redis is away")`, pageTimeout)

	// Words and crosses say it too, not only the colour.
	tab.WaitUntil(rateIs("outbox-redis:pubsub", "62/s, held")+" && "+rateIs("redis-node:pubsub", "0/s, was 62/s"), pageTimeout)
	shown := evalInPage[string](tab, `[...document.querySelectorAll("#map .cross")].filter((c) => getComputedStyle(c).display !== "none").map((c) => c.parentNode.dataset.line).join(" ")
		+ "; " + [...document.querySelectorAll(".station .away")].filter((c) => getComputedStyle(c).display !== "none").map((c) => c.parentNode.dataset.part).join(" ")
		+ "; " + [...document.querySelectorAll(".count")].map((c) => c.textContent).filter(Boolean).join(", ")`)
	if shown != "dispatch-redis:direct outbox-redis:pubsub outbox-queue:queue; redis; 214 rows wait, 5 jobs wait" {
		t.Error("crosses, stations and counts: ", shown)
	}

	node.change(func(f *fakeLive) { f.refusal = "Faults are for ridehail demo." })
	tab.clickAt("#fault-delay")
	tab.WaitUntil(`document.querySelector("[data-fault=delay] .sentence").textContent === "Faults are for ridehail demo." && document.getElementById("fault-delay").ariaChecked === "false"`, pageTimeout)
	node.change(func(f *fakeLive) { f.refusal, f.event.Lines = "", aBusyCity().Lines })
	tab.press("0")
	tab.WaitUntil(`document.getElementById("fault-redis_away").ariaChecked === "false" && `+rateIs("redis-node:pubsub", "62/s"), pageTimeout)
	// A slow machine may need so long that the switch is repeated.
	if got := strings.ReplaceAll(node.called(), "PUT redis_away true, ", ""); got != "PUT delay true, DELETE  false" {
		t.Error("the node was asked: ", got)
	}
	tab.CheckClean()
}

func TestALostLinkIsSaidAndNothingCanBeSwitched(t *testing.T) {
	node := newFakeLive(t)
	tab := openMap(t, node, Screen{"desk", 1440, 900})
	tab.press(" ")
	tab.WaitUntil(`/^paused, \d+ s behind$/.test(document.querySelector(".age").textContent)`, pageTimeout)
	node.change(func(f *fakeLive) { f.event.line("rider_phone-gateway:socket").RateHz = 99 })
	tab.press(" ")
	tab.WaitUntil(`document.querySelector(".age").hidden && `+rateIs("rider_phone-gateway:socket", "99/s"), pageTimeout)

	node.change(func(f *fakeLive) { f.isAway, f.event.fault("drop").On = true, true })
	tab.WaitUntil(`/^no link; these figures are \d+ s old$/.test(document.querySelector(".age").textContent)`, pageTimeout)
	tab.clickAt("#fault-drop")
	said := evalInPage[string](tab, `[document.getElementById("link-text").textContent, document.getElementById("fault-drop").ariaDisabled,
		document.querySelector("[data-fault=drop] .note").textContent, document.getElementById("map").hasAttribute("data-stale")].join(", ")`)
	if said != "No link, true, not reachable, true" || node.called() != "" {
		t.Errorf("the page says %s; asked: %s", said, node.called())
	}
	node.change(func(f *fakeLive) { f.isAway, f.event.Nodes = false, []string{"node-1"} })
	tab.WaitUntil(`document.getElementById("link-text").textContent === "Live" && document.querySelector("[data-part=node] .label").textContent === "no other node"`, pageTimeout)
	tab.CheckClean()
}

func TestADotLeadsToItsTripAndTheLegendKeepsOneMechanism(t *testing.T) {
	const trip = "0190f7c2-0000-7000-8000-00000000abcd"
	node := newFakeLive(t)
	node.change(func(f *fakeLive) { f.event.Dots = []liveDot{{"memory-dispatch:memory", trip, "candidates", 100}} })
	tab := openMap(t, node, Screen{"desk", 1440, 900}, "prefers-reduced-motion: reduce")

	// Without motion the newest message stands at three quarters of its line.
	tab.RunAction("click a dot", chromedp.MouseClickXY(735, 102))
	tab.WaitUntil(`performance.getEntriesByType("resource").some((e) => e.name.endsWith("/v1/xray/`+trip+`"))`, pageTimeout)

	tab.clickAt("#legend [data-mechanism=rpc]")
	tab.WaitUntil(`[...document.querySelectorAll(".line[data-kept]")].map((l) => l.dataset.mechanism).join() === "rpc,rpc,rpc" && document.getElementById("map").hasAttribute("data-only")`, pageTimeout)
	tab.press(kb.Escape)
	tab.WaitUntil(`!document.getElementById("map").hasAttribute("data-only")`, pageTimeout)
	tab.RunAction("point at a line", chromedp.MouseEvent(chromedp.MouseMoved, 470, 164))
	tab.WaitUntil(`[...document.querySelectorAll(".station[data-lit]")].map((s) => s.dataset.part).join() === "gateway,routing"`, pageTimeout)
	tab.CheckClean()
}

// mapLegibility lists the map's words that are hard to read or cut off.
const mapLegibility = `(() => {
	const lum = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const land = lum(getComputedStyle(document.body).backgroundColor), out = [];
	for (const n of document.querySelectorAll("#map .above text:not(.disc text)")) {
		const [a, b] = [lum(getComputedStyle(n.querySelector("tspan") ?? n).fill), land].sort((x, y) => y - x), box = n.getBoundingClientRect();
		if ((a + 0.05) / (b + 0.05) < 4.5) out.push("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(2) + " of " + n.textContent);
		if (box.width && (box.left < 0 || box.right > innerWidth)) out.push("cut off: " + n.textContent);
	}
	for (const n of document.querySelectorAll("#top button, #map button")) {
		const box = n.getBoundingClientRect();
		if (box.width && (box.left < 0 || box.right > innerWidth + 1)) out.push("cut off: " + n.textContent);
		if (box.width && box.height < 24) out.push("small: " + n.textContent);
	}
	return out;
})()`

func TestTheMapIsLegibleAtEachSize(t *testing.T) {
	node := newFakeLive(t)
	for _, screen := range []Screen{{"desk", 1440, 900}, {"tablet", 820, 1180}, Phone} {
		scheme := map[bool]string{true: "dark", false: "light"}[screen.Name != "desk"]
		node.change(func(f *fakeLive) { f.event = aBusyCity() })
		tab := openMap(t, node, screen, "prefers-color-scheme: "+scheme)
		check := func(state string) {
			t.Helper()
			for _, found := range append(evalInPage[[]string](tab, legibility), evalInPage[[]string](tab, mapLegibility)...) {
				t.Errorf("%s %s, %s: %s", screen.Name, scheme, state, found)
			}
		}
		check("calm")
		node.change(func(f *fakeLive) { f.cutRedis(); f.event.fault("redis_away").On = true })
		tab.WaitUntil(`document.querySelector("[data-fault=redis_away]").dataset.state === "on"`, pageTimeout)
		check("cut")
		tab.clickAt("#ledger-open")
		tab.WaitUntil(`document.querySelector("#ledger tbody tr") !== null && document.activeElement.id === "ledger"`, pageTimeout)
		check("ledger")
		tab.press(kb.Escape)
		tab.WaitUntil(`document.getElementById("ledger").hidden && document.activeElement.id === "ledger-open"`, pageTimeout)
		tab.CheckClean()
	}
}

// TestTheLineMapIsPictured saves pictures of each state, for people to look at.
func TestTheLineMapIsPictured(t *testing.T) {
	if os.Getenv("RIDEHAIL_SHOTS") == "" {
		t.Skip("no folder for pictures in RIDEHAIL_SHOTS")
	}
	for _, screen := range []Screen{{"desk", 1440, 900}, {"tablet", 820, 1180}, Phone} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(screen.Name+" "+scheme, func(t *testing.T) {
				pictureMap(t, newFakeLive(t), Screen{screen.Name + "-" + scheme, screen.Width, screen.Height}, scheme)
			})
		}
	}
}

func pictureMap(t *testing.T, node *fakeLive, screen Screen, scheme string) {
	node.change((*fakeLive).sendTraffic)
	tab := openMap(t, node, screen, "prefers-color-scheme: "+scheme)
	tab.waitForDots()
	tab.Screenshot("map-1-calm")
	evalInPage[bool](tab, `(document.getElementById("fault-redis_away").click(), true)`)
	node.change((*fakeLive).cutRedis)
	node.change((*fakeLive).sendTraffic)
	tab.WaitUntil(`document.querySelector('[data-fault=redis_away] .sentence').textContent.startsWith("Redis is away")`, pageTimeout)
	tab.waitForDots()
	tab.Screenshot("map-2-redis")
	node.change(func(f *fakeLive) {
		for id, sentence := range map[string]string{
			"drop": "14 of 142 fixes were dropped; none is missing: the next one replaced each.", "delay": "Quotes take 56 ms instead of 6; the rider waits 50 ms longer.",
			"provider_down": "3 charges failed and wait in the queue; no trip waits for them.", "slow_phone": "",
		} {
			fault := f.event.fault(id)
			fault.On, fault.SinceMs, fault.Sentence, fault.By = true, f.event.AtMs-4000, sentence, "elsewhere"
		}
	})
	tab.WaitUntil(`document.querySelectorAll('.fault[data-state=on]').length === 5`, pageTimeout)
	tab.Screenshot("map-3-many")
	evalInPage[bool](tab, `(document.getElementById("ledger-open").click(), document.querySelector(".more").click(), true)`)
	tab.Screenshot("map-4-ledger")
	tab.CheckClean()
}

// waitForDots waits until most lines have dots, so that a picture shows them.
func (tab *Tab) waitForDots() {
	tab.t.Helper()
	tab.WaitUntil(`new Promise((done) => setTimeout(() => done(true), 2600))`, pageTimeout)
}
