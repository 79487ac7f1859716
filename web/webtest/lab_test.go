package webtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ridehail/ridehail/lab/page"
	"github.com/ridehail/ridehail/lab/page/pagetest"
	"github.com/ridehail/ridehail/web"
)

// newLab serves the lab with made-up experiments, beside the rider's page.
func newLab(t *testing.T, change ...func(*page.Config)) string {
	cfg := page.Config{Experiments: pagetest.Experiments(), MayRun: true, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	p := page.New(t.Context(), cfg)
	mux := http.NewServeMux()
	mux.Handle("/lab", p)
	mux.Handle("/lab/", p)
	mux.Handle("/", web.Handler())
	s := httptest.NewServer(mux)
	t.Cleanup(func() { p.Close(); s.CloseClientConnections(); s.Close() })
	return s.URL
}

func labContext(t *testing.T) context.Context {
	t.Helper()
	FindBrowser(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func TestAStudentRunsAnExperimentOnADesk(t *testing.T) {
	RunExperiment(labContext(t), t, newLab(t), "curves", Desktop)
}

func TestAStudentRunsAnExperimentOnAPhone(t *testing.T) {
	RunExperiment(labContext(t), t, newLab(t), "curves", Phone)
}

func TestBarsAreDrawnAsWell(t *testing.T) {
	RunExperiment(labContext(t), t, newLab(t), "bars", Desktop)
}

// TestTheLabIsPictured saves pictures of each state, for people to look at.
func TestTheLabIsPictured(t *testing.T) {
	if os.Getenv("RIDEHAIL_SHOTS") == "" {
		t.Skip("no folder for pictures in RIDEHAIL_SHOTS")
	}
	for _, screen := range []Screen{{"desk", 1440, 900}, {"tablet", 1024, 768}, Phone} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(screen.Name+" "+scheme, func(t *testing.T) {
				pictureStates(t, newLab(t), Screen{screen.Name + "-" + scheme, screen.Width, screen.Height}, scheme)
			})
		}
	}
}

func pictureStates(t *testing.T, url string, screen Screen, scheme string) {
	tab := openTabAt(labContext(t), t, url, "/lab/curves?pace=100", screen, "prefers-color-scheme: "+scheme)
	tab.waitForExperiment("curves")
	tab.Screenshot("1-before")
	tab.drag(0.2, 0.9, 0.9, 0.4)
	tab.RunAction("guess", chromedp.KeyEvent("b"))
	tab.Screenshot("2-guessed")
	tab.clickRun()
	tab.WaitUntil(`document.querySelector("#plot path.measured")?.getAttribute("d").length > 200`, pageTimeout)
	tab.Screenshot("3-during")
	tab.waitForVerdict()
	tab.turnFirstKnob()
	tab.clickRun()
	tab.waitForVerdict()
	tab.Screenshot("4-after")
	tab.RunAction("table", chromedp.KeyEvent("t"))
	tab.Screenshot("5-table")
	if screen.Width < 920 {
		tab.Click("#show-more")
		tab.Screenshot("6-code")
	}
	tab.CheckClean()
}

// drag moves a pressed pointer over the plot, from a place to a place in it.
func (tab *Tab) drag(x1, y1, x2, y2 float64) {
	tab.t.Helper()
	box := evalInPage[[]float64](tab, `(() => { const b = document.getElementById("plot").getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()`)
	at := func(x, y float64) (float64, float64) { return box[0] + x*box[2], box[1] + y*box[3] }
	x, y := at(x1, y1)
	tab.RunAction("press", chromedp.MouseEvent(chromedp.MousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	for i := 1; i <= 4; i++ {
		x, y = at(x1+(x2-x1)*float64(i)/4, y1+(y2-y1)*float64(i)/4)
		tab.RunAction("drag", chromedp.MouseEvent(chromedp.MouseMoved, x, y, chromedp.ButtonLeft))
	}
	tab.RunAction("let go", chromedp.MouseEvent(chromedp.MouseReleased, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

// press types keys, one after the other.
func (tab *Tab) press(keys ...string) {
	tab.t.Helper()
	for _, key := range keys {
		tab.RunAction("press "+key, chromedp.KeyEvent(key))
	}
}

// status is the one status line.
const status = `document.getElementById("status").textContent`

func TestTheLabWorksByKeysAlone(t *testing.T) {
	tab := openTabAt(labContext(t), t, newLab(t), "/lab/curves", Desktop)
	tab.waitForExperiment("curves")
	tab.press("r")
	tab.WaitUntil(status+` === "Guess first, or skip the guess"`, pageTimeout)
	tab.RunAction("go to the plot", chromedp.Focus(chromedp.CSS("#plot")))
	tab.press("2", kb.ArrowRight, kb.ArrowUp, kb.ArrowUp)
	tab.WaitUntil(status+`.startsWith("Your guess at 8: 2") && document.querySelector("#plot path.guess") !== null`, pageTimeout)
	tab.press("c")
	tab.WaitUntil(`document.getElementById("guess-C").checked`, pageTimeout)
	tab.press("R")
	tab.waitForVerdict()
	tab.WaitUntil(`document.querySelector(".option[data-seen] .said").textContent === "your guess, so"`, pageTimeout)

	tab.press(kb.ArrowRight)
	tab.WaitUntil(status+`.startsWith("At 0: no retry ")`, pageTimeout)
	tab.press("4")
	tab.WaitUntil(`document.querySelectorAll("#plot path.faded").length === 4`, pageTimeout)
	tab.press("t")
	tab.WaitUntil(`document.querySelectorAll("#table tbody tr").length === 5 + 65`, pageTimeout)
	tab.press("t", kb.Escape)
	tab.WaitUntil(`document.querySelectorAll("#plot path.measured:not(.faded)").length === 5`, pageTimeout)
	tab.CheckClean()
}

func TestALinkShowsItsFormFilledAndRunsNothing(t *testing.T) {
	tab := openTabAt(labContext(t), t, newLab(t), "/lab/curves?guess=b&rate=400&order=newest&seed=7&wings=2", Desktop)
	tab.waitForExperiment("curves")
	tab.WaitUntil(`document.querySelector(".correction")?.textContent === "“400”: set to 40 a second, the most"`, pageTimeout)
	shown := evalInPage[[]string](tab, `[document.getElementById("guess-B").checked, document.getElementById("knob-order-newest").checked,
		document.getElementById("seed").value, document.getElementById("knob-rate-value").textContent, document.body.dataset.phase].map(String)`)
	if got := strings.Join(shown, " "); got != "true true 7 40 a second ready" {
		t.Errorf("the form shows %s", got)
	}
	tab.clickRun()
	tab.waitForVerdict()
	tab.WaitUntil(`location.search === "?guess=B&rate=40&order=newest&seed=7"`, pageTimeout)
	tab.CheckClean()
}

func TestARunIsStoppedByAKeyAndKeepsItsPoints(t *testing.T) {
	tab := openTabAt(labContext(t), t, newLab(t), "/lab/endless?guess=A", Desktop)
	tab.waitForExperiment("endless")
	tab.press("r")
	tab.WaitUntil(`document.querySelector("#plot path.measured")?.getAttribute("d").length > 40`, pageTimeout)
	tab.press(kb.Escape)
	tab.WaitUntil(`document.body.dataset.phase === "stopped" && `+status+`.startsWith("Stopped at ") && document.querySelector("#plot rect.stopped") !== null`, pageTimeout)
	if evalInPage[bool](tab, `document.querySelector("#plot path.measured") === null || document.querySelector(".claim") !== null`) {
		t.Error("the points are gone, or a stopped run has a verdict")
	}
	tab.CheckClean()
}

func TestARunWaitsForItsTurn(t *testing.T) {
	ctx, url := labContext(t), newLab(t)
	other, leave := context.WithCancel(ctx)
	req, _ := http.NewRequestWithContext(other, "POST", url+"/lab/api/runs", strings.NewReader(`{"experiment":"endless"}`))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	tab := openTabAt(ctx, t, url, "/lab/bars?guess=B", Phone)
	tab.waitForExperiment("bars")
	tab.clickRun()
	tab.WaitUntil(`document.body.dataset.phase === "waiting" && /^Another run is on, \d+ s left$/.test(document.querySelector("#busy-bar .run-words").textContent)`, pageTimeout)
	tab.Screenshot("lab-waiting")
	leave()
	tab.waitForVerdict()
	tab.CheckClean()
}

func TestWithoutDevelopmentTokensThePageSaysWhyItRunsNothing(t *testing.T) {
	tab := openTabAt(labContext(t), t, newLab(t, func(c *page.Config) { c.MayRun = false }), "/lab/curves?guess=B", Desktop)
	tab.waitForExperiment("curves")
	if !evalInPage[bool](tab, `document.getElementById("run-side").disabled && document.getElementById("why-side").textContent.includes("development tokens")`) {
		t.Error("it may run, or does not say why not")
	}
}

func TestStillnessIsKeptForThoseWhoAskForIt(t *testing.T) {
	tab := openTabAt(labContext(t), t, newLab(t), "/lab/curves?guess=B", Desktop, "prefers-reduced-motion: reduce")
	tab.waitForExperiment("curves")
	evalInPage[bool](tab, `(() => {
		window.drawn = 0;
		new MutationObserver(() => { if (document.body.dataset.phase === "running" && document.querySelector("#plot path.measured")) window.drawn++; })
			.observe(document.getElementById("plot"), { childList: true });
		return true;
	})()`)
	tab.clickRun()
	tab.waitForVerdict()
	tab.WaitUntil(`document.querySelectorAll("#plot path.measured").length === 5`, pageTimeout)
	if n := evalInPage[int](tab, `window.drawn`); n != 0 {
		t.Errorf("the plot moved %d times before the end", n)
	}
}

// legibility lists what a person could not read, name or reach: text with a
// contrast below 4.5, controls without a name, and a page wider than its window.
const legibility = `(() => {
	const rgb = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(") ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
	const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const lum = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = (n) => { const own = rgb(getComputedStyle(n).backgroundColor); return own[3] === 1 ? own : n.parentElement ? over(own, ground(n.parentElement)) : [255, 255, 255, 1]; };
	const out = [];
	for (const n of document.querySelectorAll("body *:not(svg *)")) {
		if (!n.checkVisibility({ visibilityProperty: true }) || ![...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim())) continue;
		if (n.closest(":disabled, .hidden, .skip, noscript") || n.closest("fieldset")?.disabled) continue;
		const back = ground(n), front = over(rgb(getComputedStyle(n).color), back), [a, b] = [lum(front), lum(back)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) out.push("contrast " + ratio.toFixed(2) + " of " + n.className + " " + n.textContent.slice(0, 30));
	}
	for (const n of document.querySelectorAll("#plot text:not(.badge-number):not(.faded)")) {
		const [a, b] = [lum(rgb(getComputedStyle(n).fill)), lum(ground(document.getElementById("plot-card")))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) out.push("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(2) + " of " + n.textContent);
	}
	for (const n of document.querySelectorAll("button, input, a, [tabindex='0']")) {
		if (!n.checkVisibility()) continue;
		const name = n.ariaLabel || n.labels?.[0]?.textContent || n.closest("fieldset")?.querySelector("legend")?.textContent || n.textContent;
		if (!name?.trim()) out.push("no name: " + n.outerHTML.slice(0, 80));
	}
	const ids = [...document.querySelectorAll("[id]")].map((n) => n.id);
	out.push(...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => "twice: #" + id));
	if (document.documentElement.scrollWidth > innerWidth) out.push("the page is " + document.documentElement.scrollWidth + " px wide");
	for (const n of document.querySelectorAll("#bar button")) if (n.getBoundingClientRect().right > innerWidth) out.push("cut off: " + n.textContent);
	if (document.querySelectorAll("h1").length !== 1) out.push("not one h1");
	return out;
})()`

func TestTheLabIsLegibleInEveryState(t *testing.T) {
	url := newLab(t)
	for _, screen := range []Screen{{"desk", 1440, 900}, {"tablet", 1024, 768}, Phone} {
		scheme := map[bool]string{true: "dark", false: "light"}[screen.Name != "desk"]
		tab := openTabAt(labContext(t), t, url, "/lab/curves", screen, "prefers-color-scheme: "+scheme)
		check := func(state string) {
			t.Helper()
			for _, found := range evalInPage[[]string](tab, legibility) {
				t.Errorf("%s %s, %s: %s", screen.Name, scheme, state, found)
			}
		}
		tab.waitForExperiment("curves")
		check("before")
		tab.press("b", "r")
		tab.waitForVerdict()
		check("after")
		tab.press("t")
		tab.WaitUntil(`document.querySelector("#table td") !== null`, pageTimeout)
		check("table")
		evalInPage[bool](tab, `(document.getElementById("open-break").click(), true)`)
		tab.WaitUntil(`document.querySelectorAll(".planted button").length === 6`, pageTimeout)
		check("break")
		tab.CheckClean()
	}
}
