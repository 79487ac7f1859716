package webtest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// RideThrough takes one whole ride on the page at baseURL: cars on the map, two
// clicks, a quote, a request, a driver, chat, the ride, the receipt. The node
// must have moving drivers and give development tokens. ctx limits the ride.
func RideThrough(ctx context.Context, t testing.TB, baseURL string) {
	t.Helper()
	RideOn(ctx, t, baseURL, Desktop)
}

// RideOn is RideThrough on a screen of any size.
func RideOn(ctx context.Context, t testing.TB, baseURL string, screen Screen) {
	t.Helper()
	tab := OpenTab(ctx, t, baseURL, screen)
	tab.waitForState("choose_pickup", pageTimeout)
	tab.WaitUntil(`document.body.dataset.connection === "live"`, pageTimeout)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, pageTimeout)
	tab.Screenshot("1-cars")
	tab.choosePlaces()
	tab.Screenshot("2-quote")
	tab.Click("#request")
	tab.waitForState("reserved", pageTimeout)
	tab.WaitUntil(`document.getElementById("figures").dataset.latencyMs !== undefined`, pageTimeout)
	tab.WaitUntil(`(document.getElementById("eta")?.textContent ?? "") !== "" || document.body.dataset.state !== "reserved"`, pageTimeout)
	tab.waitForCamera()
	tab.Screenshot("3-on-the-way")
	tab.sendChat("I am at the corner by the blue gate")
	tab.waitForState("on_trip", 4*time.Minute)
	tab.waitForCamera()
	tab.Screenshot("5-on-trip")
	tab.waitForState("paid", 6*time.Minute)
	tab.WaitUntil(`document.getElementById("paid").textContent.length > 1`, pageTimeout)
	tab.waitForCamera()
	tab.Screenshot("6-receipt")
	tab.CheckClean()
}

// choosePlaces clicks two cars as pickup and destination: cars are on roads.
func (tab *Tab) choosePlaces() {
	tab.t.Helper()
	from := tab.carAt(0, 0, 0)
	tab.RunAction("click the pickup", chromedp.MouseClickXY(from.X, from.Y))
	tab.waitForState("choose_destination", pageTimeout)
	to := tab.carAt(from.X, from.Y, 110)
	tab.RunAction("click the destination", chromedp.MouseClickXY(to.X, to.Y))
	tab.waitForState("quoted", pageTimeout)
	tab.WaitUntil(`/\d/.test(document.getElementById("price").textContent)`, pageTimeout)
	tab.waitForCamera()
}

type screenPoint struct{ X, Y float64 }

// carAt returns the nearest car to a point, at least gap pixels away from it,
// on the uncovered part of the map. Without a gap, the point is the middle.
func (tab *Tab) carAt(x, y, gap float64) screenPoint {
	tab.t.Helper()
	found := evalInPage[*screenPoint](tab, fmt.Sprintf(`(() => {
		const { map, cars } = window.ridehail, wide = innerWidth >= 760;
		const card = document.getElementById("card").getBoundingClientRect();
		const [l, r, t, b] = wide ? [card.right + 40, innerWidth - 90, 110, innerHeight - 80] : [30, innerWidth - 60, 110, card.top - 40];
		const [cx, cy] = %g > 0 ? [%g, %g] : [(l + r) / 2, (t + b) / 2];
		const away = (p) => Math.hypot(p.X - cx, p.Y - cy);
		return [...cars.cars.values()].map((c) => map.project(c.glide.to.point)).map((p) => ({ X: p.x, Y: p.y }))
			.filter((p) => p.X > l && p.X < r && p.Y > t && p.Y < b && away(p) >= %g)
			.sort((p, q) => away(p) - away(q))[0] ?? null;
	})()`, gap, x, y, gap))
	if found == nil {
		tab.Screenshot("no-car")
		tab.t.Fatal("no car on the free part of the map to click on")
	}

	return *found
}

// waitForState waits until the ride is in this state or a later one. It fails
// at once when the ride ended in another way.
func (tab *Tab) waitForState(state string, atMost time.Duration) {
	tab.t.Helper()
	tab.WaitUntil(fmt.Sprintf(`(() => {
		const order = ["loading", "choose_pickup", "choose_destination", "quoting", "quoted", "requesting", "requested",
			"reserved", "arrived", "on_trip", "completed", "paid"];
		const now = document.body.dataset.state;
		if (!order.includes(now)) throw new Error("the ride ended as " + now);
		return order.indexOf(now) >= order.indexOf(%q);
	})()`, state), atMost)
}

// sendChat sends a chat message and waits until the node has numbered it.
func (tab *Tab) sendChat(text string) {
	tab.t.Helper()
	tab.Click("#open-chat")
	tab.RunAction("type", chromedp.SendKeys(chromedp.CSS("#chat-text"), text))
	tab.Click("#chat-send")
	tab.WaitUntil(`document.querySelector('#chat li.mine[data-state="said"]') !== null`, pageTimeout)

	said := evalInPage[string](tab, `document.querySelector("#chat li.mine p").textContent`)
	if said != text {
		tab.t.Errorf("the chat shows %q, we said %q", said, text)
	}

	tab.waitForCamera()
	tab.Screenshot("4-chat")
	tab.Click("#close-chat")
}

// waitForCamera waits until the map rests, when pictures are taken.
func (tab *Tab) waitForCamera() {
	tab.t.Helper()
	if os.Getenv("RIDEHAIL_SHOTS") == "" {
		return
	}
	tab.RunAction("look", chromedp.Sleep(2500*time.Millisecond))
	tab.WaitUntil(`!window.ridehail.map.isMoving()`, pageTimeout)
}
