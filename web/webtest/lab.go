package webtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// labTimeout limits the wait for a run to end: the longest that the lab allows,
// and some.
const labTimeout = 90 * time.Second

// RunExperiment does on the lab's page what a student does: it opens an
// experiment from the list, guesses, runs it, reads the verdict, turns a knob,
// runs it again beside its ghost, and goes back. The node at baseURL must have
// the lab, and the experiment a knob with a number. ctx limits it all.
func RunExperiment(ctx context.Context, t testing.TB, baseURL, name string, screen Screen) {
	t.Helper()
	tab := openTabAt(ctx, t, baseURL, "/lab", screen)
	tab.WaitUntil(`document.querySelectorAll("#list a").length > 1`, pageTimeout)
	tab.Click(chromedp.CSS("#open-" + name))
	tab.waitForExperiment(name)
	if !evalInPage[bool](tab, `document.querySelector("button.run").disabled`) {
		t.Error("it can be run before a guess")
	}

	tab.Click(`.option:has(#guess-B)`)
	tab.WaitUntil(`document.getElementById("guess-B").checked`, pageTimeout)
	tab.Screenshot("lab-1-guessed")
	tab.clickRun()
	tab.waitForVerdict()
	first := evalInPage[string](tab, `location.pathname + location.search`)
	tab.Screenshot("lab-2-verdict")

	tab.turnFirstKnob()
	tab.clickRun()
	tab.waitForVerdict()
	tab.WaitUntil(`[...document.querySelectorAll("#legend li")].some((li) => li.textContent.startsWith("earlier run: "))`, pageTimeout)
	tab.Screenshot("lab-3-ghost")
	second := evalInPage[string](tab, `location.pathname + location.search`)
	if first == second {
		t.Errorf("two runs with other knobs have one address, %s", first)
	}

	evalInPage[bool](tab, `(history.back(), true)`)
	tab.WaitUntil(fmt.Sprintf(`location.pathname + location.search === %q && document.body.dataset.phase === "done"`, first), pageTimeout)
	tab.CheckClean()
}

func (tab *Tab) waitForExperiment(name string) {
	tab.t.Helper()
	tab.WaitUntil(fmt.Sprintf(`document.body.dataset.experiment === %q && document.body.dataset.phase === "ready" && document.querySelector("#plot svg") !== null`, name), pageTimeout)
}

// newClaim is true when a claim stands there that is not of a run before.
const newClaim = `document.querySelector("#claims .claim:not([data-old])") !== null`

// clickRun presses the button of this screen, once it may be pressed.
func (tab *Tab) clickRun() {
	tab.t.Helper()
	tab.WaitUntil(`!document.querySelector("button.run").disabled`, pageTimeout)

	// The claims of the run before are marked: new ones are other elements.
	evalInPage[bool](tab, `(document.querySelectorAll("#claims .claim").forEach((c) => { c.dataset.old = "1" }), true)`)
	tab.Click(tab.onScreen("#run-side", "#run-bar"))
	tab.WaitUntil(`["running", "waiting"].includes(document.body.dataset.phase) || `+newClaim, pageTimeout)
}

func (tab *Tab) onScreen(wide, narrow chromedp.CSS) chromedp.CSS {
	if tab.screen.Width < 920 {
		return narrow
	}
	return wide
}

// waitForVerdict waits until the run has ended and shows its claims, which need
// not hold.
func (tab *Tab) waitForVerdict() {
	tab.t.Helper()
	tab.WaitUntil(`document.body.dataset.phase === "stopped" ? (() => { throw new Error(document.getElementById("status").textContent) })()
		: document.body.dataset.phase === "done" && `+newClaim, labTimeout)
	if said := evalInPage[string](tab, `document.querySelector(".option[data-mine] .said").textContent`); said != "your guess, so" && said != "your guess, not so" {
		tab.t.Errorf("beside the guess stands %q", said)
	}
}

// turnFirstKnob moves the first slider by a key, as far as it goes.
func (tab *Tab) turnFirstKnob() {
	tab.t.Helper()
	if tab.screen.Width < 920 {
		tab.Click("#show-knobs")
	}
	before := evalInPage[string](tab, `document.querySelector(".knob output").textContent`)
	tab.RunAction("focus a knob", chromedp.Focus(chromedp.CSS(".knob input[type=range]"), chromedp.NodeVisible))
	tab.RunAction("turn it", chromedp.KeyEvent(kb.ArrowLeft))
	if evalInPage[string](tab, `document.querySelector(".knob output").textContent`) == before {
		tab.RunAction("turn it the other way", chromedp.KeyEvent(kb.ArrowRight))
	}
	tab.WaitUntil(fmt.Sprintf(`document.querySelector(".knob output").textContent !== %q`, before), pageTimeout)
	if tab.screen.Width < 920 {
		tab.RunAction("close the sheet", chromedp.KeyEvent(kb.Escape))
	}
}
