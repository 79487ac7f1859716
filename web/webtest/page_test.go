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

func ready(t *testing.T) context.Context {
	t.Helper()
	RequireBrowser(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func TestRiderTakesAWholeRideOnADesk(t *testing.T) {
	RideOn(ready(t), t, newFakeNode(t).URL, Desktop)
}

func TestRiderTakesAWholeRideOnAPhone(t *testing.T) {
	RideOn(ready(t), t, newFakeNode(t).URL, Phone)
}

// waiting opens the page and orders a ride whose driver stays on the way.
func waiting(t *testing.T, f *fakeNode) *Tab {
	tab := OpenTab(ready(t), t, f.URL, Desktop)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, patience)
	tab.choosePlaces()
	tab.Click("#request")
	tab.reach("reserved", patience)
	return tab
}

func held(f *fakeNode) { f.hold = true }

func TestConnectionLostMidRideLosesAndDoublesNothing(t *testing.T) {
	f := newFakeNode(t, held)
	tab := waiting(t, f)
	tab.chat("before")
	tab.Click("#open-chat")
	back := f.leave()

	tab.WaitUntil(`document.body.dataset.connection === "lost"`, patience)
	tab.Do("say it while offline", chromedp.SendKeys(chromedp.CSS("#chat-text"), `<img src=x onerror="throw 1">`))
	tab.Do("send", chromedp.SendKeys(chromedp.CSS("#chat-text"), "\r"))
	tab.WaitUntil(`document.querySelectorAll("#chat li[data-state=waiting]").length === 1`, patience)
	f.mu.Lock()
	f.chat = append(f.chat, &wire.ChatMessage{TripId: "trip-1", Seq: 2, From: "driver", Text: "while you were away"})
	f.mu.Unlock()

	back()
	tab.WaitUntil(`document.body.dataset.connection === "live"`, patience)
	tab.WaitUntil(`document.querySelectorAll("#chat li[data-state=said]").length === 3`, patience)

	lines := eval[[]string](tab, `[...document.querySelectorAll("#chat li p")].map((p) => p.textContent)`)
	if got := strings.Join(lines, "|"); got != `before|while you were away|<img src=x onerror="throw 1">` {
		t.Errorf("chat after the reconnect: %s", got)
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
	f := newFakeNode(t, held)
	tab := waiting(t, f)
	f.mu.Lock()
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{TripId: "trip-1", Lost: true, AgeS: 21}}})
	f.mu.Unlock()

	tab.WaitUntil(`/went silent. Last position \d+ s ago/.test(document.getElementById("banner").textContent)`, patience)
	tab.Screenshot("7-silent")
	f.mu.Lock()
	f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Comms{Comms: &wire.Comms{TripId: "trip-1"}}})
	f.mu.Unlock()
	tab.WaitUntil(`document.getElementById("banner").hidden`, patience)
}

func TestCancelAsksFirst(t *testing.T) {
	tab := waiting(t, newFakeNode(t, held))
	tab.Click("#cancel")
	tab.Click("#keep-ride")
	tab.Click("#cancel")
	tab.Screenshot("8-cancel")
	tab.Click("#confirm-cancel")
	tab.WaitUntil(`document.body.dataset.state === "cancelled" && document.body.innerText.includes("You cancelled")`, patience)
	tab.Click("#again")
	tab.WaitUntil(`document.body.dataset.state === "choose_pickup"`, patience)
	tab.CheckClean()
}

func TestACallForHelpAsksFirstAndIsSeen(t *testing.T) {
	f := newFakeNode(t, held)
	tab := waiting(t, f)
	tab.Click("#emergency")
	tab.Click("#no-help")
	tab.Screenshot("12-tools")
	tab.Click("#emergency")
	tab.Screenshot("13-emergency")
	tab.Click("#confirm-help")
	tab.WaitUntil(`document.getElementById("help").textContent.includes("operators have your call")`, patience)
	f.mu.Lock()
	if len(f.calls) != 1 {
		t.Errorf("the page called %d times", len(f.calls))
	}

	for _, id := range f.calls {
		f.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_SosSeen{SosSeen: &wire.SosSeen{Id: id, TripId: "trip-1"}}})
	}
	f.mu.Unlock()

	tab.WaitUntil(`document.getElementById("help").textContent.includes("has seen your call")`, patience)
	tab.WaitUntil(`document.getElementById("emergency") !== null`, patience)
	tab.CheckClean()
}

func TestQuoteSaysWhenItIsAGuessAndRefusalsComeInWords(t *testing.T) {
	tab := OpenTab(ready(t), t, newFakeNode(t, func(f *fakeNode) { f.road = false }).URL, Phone)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, patience)
	tab.choosePlaces()
	tab.WaitUntil(`document.getElementById("straight") !== null`, patience)
	tab.Screenshot("9-straight")
	tab.Click("#choose-dropoff")
	eval[bool](tab, `(window.ridehail.map.jumpTo({ center: [3.4, 6.3], zoom: 12 }), true)`)
	tab.Do("click", chromedp.MouseClickXY(200, 300))
	tab.WaitUntil(`document.body.dataset.state === "quote_failed"`, patience)
	tab.WaitUntil(`document.getElementById("problem").textContent === "We do not serve this place yet."`, patience)
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
	tab.WaitUntil(`document.body.dataset.state === "missing_library" && document.getElementById("notice").innerText.includes("make web")`, patience)
	tab.Screenshot("11-missing")
}
