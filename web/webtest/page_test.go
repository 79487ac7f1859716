package webtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ridehail/ridehail/web"
	"github.com/ridehail/ridehail/wire"
)

func browserContext(t *testing.T) context.Context {
	t.Helper()
	RequireBrowser(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func TestRiderTakesAWholeRideOnADesk(t *testing.T) {
	RideOn(browserContext(t), t, newFakeNode(t).URL, Desktop)
}

func TestRiderTakesAWholeRideOnAPhone(t *testing.T) {
	RideOn(browserContext(t), t, newFakeNode(t).URL, Phone)
}

// openWithDriverComing requests a ride and waits for its driver. With
// holdDriver the driver stays on the way.
func openWithDriverComing(t *testing.T, f *fakeNode) *Tab {
	tab := OpenTab(browserContext(t), t, f.URL, Desktop)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, pageTimeout)
	tab.choosePlaces()
	tab.Click("#request")
	tab.waitForState("reserved", pageTimeout)
	return tab
}

func holdDriver(f *fakeNode) { f.holdDriver = true }

func TestConnectionLostMidRideLosesAndDoublesNothing(t *testing.T) {
	f := newFakeNode(t, holdDriver)
	tab := openWithDriverComing(t, f)
	tab.sendChat("before")
	tab.Click("#open-chat")
	back := f.goAway()

	tab.WaitUntil(`document.body.dataset.connection === "lost"`, pageTimeout)
	tab.RunAction("say it while offline", chromedp.SendKeys(chromedp.CSS("#chat-text"), `<img src=x onerror="throw 1">`))
	tab.RunAction("send", chromedp.SendKeys(chromedp.CSS("#chat-text"), "\r"))
	tab.WaitUntil(`document.querySelectorAll("#chat li[data-state=waiting]").length === 1`, pageTimeout)
	f.mu.Lock()
	f.chat = append(f.chat, &wire.ChatMessage{TripId: "trip-1", Seq: 2, From: "driver", Text: "while you were away"})
	f.mu.Unlock()

	back()
	tab.WaitUntil(`document.body.dataset.connection === "live"`, pageTimeout)
	tab.WaitUntil(`document.querySelectorAll("#chat li[data-state=said]").length === 3`, pageTimeout)

	lines := evalInPage[[]string](tab, `[...document.querySelectorAll("#chat li p")].map((p) => p.textContent)`)
	if got := strings.Join(lines, "|"); got != `before|while you were away|<img src=x onerror="throw 1">` {
		t.Errorf("chat after the reconnect: %s", got)
	}
	if !evalInPage[bool](tab, `[...document.querySelectorAll("#chat li p")].every((p) => p.dir === "auto" && getComputedStyle(p).unicodeBidi === "plaintext")`) {
		t.Error("a line of the chat has the page's direction and not its own")
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if r := f.resumed; r.GetEpoch() != "e1" || r.GetTripId() != "trip-1" || r.GetTripSeq() != 2 || r.GetChatSeq() != 1 {
		t.Errorf("the page resumed with %v", r)
	}
	if f.requests != 1 {
		t.Errorf("%d trips were opened, want 1", f.requests)
	}

	tab.CheckClean()
}

func TestSilentDriverIsShownWithTheAgeOfTheLastFix(t *testing.T) {
	f := newFakeNode(t, holdDriver)
	tab := openWithDriverComing(t, f)
	f.mu.Lock()
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{TripId: "trip-1", Lost: true, AgeS: 21}}})
	f.mu.Unlock()

	tab.WaitUntil(`/went silent. Last position \d+ s ago/.test(document.getElementById("banner").textContent)`, pageTimeout)
	tab.Screenshot("7-silent")
	f.mu.Lock()
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{TripId: "trip-1"}}})
	f.mu.Unlock()
	tab.WaitUntil(`document.getElementById("banner").hidden`, pageTimeout)
}

func TestCancelAsksFirst(t *testing.T) {
	tab := openWithDriverComing(t, newFakeNode(t, holdDriver))
	tab.checkThat("the card leads to the ride's X-ray, which finds a token", `document.getElementById("xray").getAttribute("href") + " " + sessionStorage.getItem("ridehail.token")`, "/xray?trip=trip-1 t")
	tab.Click("#cancel")
	tab.Click("#keep-ride")
	tab.Click("#cancel")
	tab.Screenshot("8-cancel")
	tab.Click("#confirm-cancel")
	tab.WaitUntil(`document.body.dataset.state === "cancelled" && document.body.innerText.includes("You cancelled")`, pageTimeout)
	tab.Click("#again")
	tab.WaitUntil(`document.body.dataset.state === "choose_pickup"`, pageTimeout)
	tab.CheckClean()
}

func TestACallForHelpAsksFirstAndIsSeen(t *testing.T) {
	f := newFakeNode(t, holdDriver)
	tab := openWithDriverComing(t, f)
	tab.Click("#emergency")
	tab.Click("#no-help")
	tab.Screenshot("12-tools")
	tab.Click("#emergency")
	tab.Screenshot("13-emergency")
	tab.Click("#confirm-help")
	tab.WaitUntil(`document.getElementById("help").textContent.includes("operators have your call")`, pageTimeout)
	f.mu.Lock()
	if len(f.sosCalls) != 1 {
		t.Errorf("the page called %d times", len(f.sosCalls))
	}

	for _, id := range f.sosCalls {
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_SosSeen{SosSeen: &wire.SosSeen{Id: id, TripId: "trip-1"}}})
	}
	f.mu.Unlock()

	tab.WaitUntil(`document.getElementById("help").textContent.includes("has seen your call")`, pageTimeout)
	tab.WaitUntil(`document.getElementById("emergency") !== null`, pageTimeout)
	tab.CheckClean()
}

func TestQuoteSaysWhenItIsAGuessAndRefusalsComeInWords(t *testing.T) {
	tab := OpenTab(browserContext(t), t, newFakeNode(t, func(f *fakeNode) { f.road = false }).URL, Phone)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, pageTimeout)
	tab.choosePlaces()
	tab.WaitUntil(`document.getElementById("straight") !== null`, pageTimeout)
	tab.Screenshot("9-straight")
	tab.Click("#choose-dropoff")
	evalInPage[bool](tab, `(window.ridehail.map.jumpTo({ center: [3.4, 6.3], zoom: 12 }), true)`)
	tab.RunAction("click", chromedp.MouseClickXY(200, 300))
	tab.WaitUntil(`document.body.dataset.state === "quote_failed"`, pageTimeout)
	tab.WaitUntil(`document.getElementById("problem").textContent === "We do not serve this place yet."`, pageTimeout)
	tab.Screenshot("10-outside")
	tab.CheckClean()
}

func TestPageNamesTheMissingStepWhenTheMapLibraryIsAbsent(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()

	FindBrowser(t)
	page := web.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/lib/") {
			http.NotFound(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}))
	defer s.Close()

	tab := OpenTab(ctx, t, s.URL, Desktop)
	tab.WaitUntil(`document.body.dataset.state === "missing_library" && document.getElementById("notice").innerText.includes("make web")`, pageTimeout)
	tab.Screenshot("11-missing")
}
