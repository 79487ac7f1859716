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
// behind it needs moving drivers and development tokens. ctx bounds it all.
func RideThrough(ctx context.Context, t testing.TB, baseURL string) {
	t.Helper()
	RideOn(ctx, t, baseURL, Desktop)
}

// RideOn is RideThrough on a screen of another size.
func RideOn(ctx context.Context, t testing.TB, baseURL string, screen Screen) {
	t.Helper()
	tab := OpenTab(ctx, t, baseURL, screen)
	tab.reach("choose_pickup", patience)
	tab.WaitUntil(`document.body.dataset.connection === "live"`, patience)
	tab.WaitUntil(`Number(document.body.dataset.cars) > 1`, patience)
	tab.Screenshot("1-cars")
	tab.choosePlaces()
	tab.Screenshot("2-quote")
	tab.Click("#request")
	tab.reach("reserved", patience)
	tab.WaitUntil(`document.getElementById("figures").dataset.latencyMs !== undefined`, patience)
	tab.WaitUntil(`(document.getElementById("eta")?.textContent ?? "") !== "" || document.body.dataset.state !== "reserved"`, patience)
	tab.settle()
	tab.Screenshot("3-on-the-way")
	tab.chat("I am at the corner by the blue gate")
	tab.reach("on_trip", 4*time.Minute)
	tab.settle()
	tab.Screenshot("5-on-trip")
	tab.reach("paid", 6*time.Minute)
	tab.WaitUntil(`document.getElementById("paid").textContent.length > 1`, patience)
	tab.settle()
	tab.Screenshot("6-receipt")
	tab.CheckClean()
}

// choosePlaces clicks two places where cars are, since cars are on roads.
func (tab *Tab) choosePlaces() {
	tab.t.Helper()
	from := tab.carAt(0, 0, 0)
	tab.Do("click the pickup", chromedp.MouseClickXY(from.X, from.Y))
	tab.reach("choose_destination", patience)
	to := tab.carAt(from.X, from.Y, 110)
	tab.Do("click the destination", chromedp.MouseClickXY(to.X, to.Y))
	tab.reach("quoted", patience)
	tab.WaitUntil(`/\d/.test(document.getElementById("price").textContent)`, patience)
	tab.settle()
}

type spot struct{ X, Y float64 }

// carAt finds a car on the free part of the map, at least gap pixels from a
// place and otherwise as near as can be to it (or to the middle).
func (tab *Tab) carAt(x, y, gap float64) spot {
	tab.t.Helper()
	found := eval[*spot](tab, fmt.Sprintf(`(() => {
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

// reach waits until the ride stands there or further on; an end of another kind
// fails at once.
func (tab *Tab) reach(state string, atMost time.Duration) {
	tab.t.Helper()
	tab.WaitUntil(fmt.Sprintf(`(() => {
		const order = ["loading", "choose_pickup", "choose_destination", "quoting", "quoted", "requesting", "requested",
			"reserved", "arrived", "on_trip", "completed", "paid"];
		const now = document.body.dataset.state;
		if (!order.includes(now)) throw new Error("the ride ended as " + now);
		return order.indexOf(now) >= order.indexOf(%q);
	})()`, state), atMost)
}

// chat sends a message and waits until the node has numbered it. The panel
// stays open for the picture, then closes.
func (tab *Tab) chat(text string) {
	tab.t.Helper()
	tab.Click("#open-chat")
	tab.Do("type", chromedp.SendKeys(chromedp.CSS("#chat-text"), text))
	tab.Click("#chat-send")
	tab.WaitUntil(`document.querySelector('#chat li.mine[data-state="said"]') !== null`, patience)

	said := eval[string](tab, `document.querySelector("#chat li.mine p").textContent`)
	if said != text {
		tab.t.Errorf("the chat shows %q, we said %q", said, text)
	}

	tab.settle()
	tab.Screenshot("4-chat")
	tab.Click("#close-chat")
}

// settle lets the camera come to rest before a picture. Without pictures it
// does not wait.
func (tab *Tab) settle() {
	tab.t.Helper()
	if os.Getenv("RIDEHAIL_SHOTS") == "" {
		return
	}
	tab.Do("look", chromedp.Sleep(2500*time.Millisecond))
	tab.WaitUntil(`!window.ridehail.map.isMoving()`, patience)
}
