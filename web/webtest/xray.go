package webtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// XrayRide takes a ride on the rider's page at baseURL until a driver has
// accepted it, follows its link to the X-ray, and cuts Redis there until the
// effect is measured, on the page and in a ride that begins meanwhile. The node
// must be that of a demo. ctx limits it all.
func XrayRide(ctx context.Context, t testing.TB, baseURL string, screen Screen) {
	t.Helper()
	tab := OpenTab(ctx, t, baseURL, screen)
	tab.waitForState("choose_pickup", pageTimeout)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, pageTimeout)
	tab.choosePlaces()
	tab.Click("#request")
	tab.waitForState("reserved", pageTimeout)
	tab.Screenshot("xray-1-link")
	link := evalInPage[string](tab, `document.getElementById("xray").href`)
	tab.RunAction("follow the link in this tab", chromedp.Navigate(link))

	tab.WaitUntil(`document.querySelector("#tree .row") !== null && document.body.dataset.link === "live"`, pageTimeout)
	for _, phase := range []string{"Quote", "Request", "Match", "Offer 1", "Accept"} {
		tab.WaitUntil(fmt.Sprintf(`[...document.querySelectorAll("#tree .phase .name")].some((n) => new RegExp("^%s ?[1-9]\\d* hops").test(n.textContent))`, phase), pageTimeout)
	}
	tab.Screenshot("xray-2-ride")

	before := evalInPage[string](tab, listTrips)
	tab.Click("#fault-redis_away")
	tab.waitForSentence("redis_away", true, "wait in the outbox")
	tab.Screenshot("xray-3-cut")
	tab.findHeldTrip(before)
	tab.Click("#fault-redis_away")
	tab.waitForSentence("redis_away", false, "is back")
	tab.CheckClean()
}

// waitForSentence waits until a fault's card says what was measured.
func (tab *Tab) waitForSentence(fault string, on bool, words string) {
	tab.t.Helper()
	tab.WaitUntil(fmt.Sprintf(`document.getElementById("fault-%[1]s").getAttribute("aria-checked") === "%[2]v" && document.getElementById("fault-words-%[1]s").textContent.includes(%[3]q)`,
		fault, on, words), pageTimeout)
}

const listTrips = `fetch("/v1/xray").then((r) => r.json()).then((kept) => kept.trips.map((t) => t.id).join())`

// findHeldTrip waits until a trip that is not among those before tells that
// Redis is away: a hop says so, or a published event is missing or late.
func (tab *Tab) findHeldTrip(before string) {
	tab.t.Helper()
	for late := time.Now().Add(pageTimeout); time.Now().Before(late); time.Sleep(200 * time.Millisecond) {
		if evalInPage[bool](tab, fmt.Sprintf(`(async () => {
			const kept = await (await fetch("/v1/xray")).json(), newer = kept.trips.find((t) => !%q.includes(t.id));
			if (!newer) return false;
			const ride = await (await fetch("/v1/xray/" + newer.id)).json(), hops = ride.phases.flatMap((p) => p.hops);
			return hops.some((h) => h.code === "redis_away" || (h.name === "publish" && (!h.seen || h.failed)) || (h.name === "outbox_wait" && h.duration_us > 1e6));
		})()`, before)) {
			return
		}
	}
	tab.t.Fatal("no new trip tells that Redis is away")
}
