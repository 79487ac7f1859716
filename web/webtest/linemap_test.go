package webtest

import (
	"os"
	"testing"
)

// mapLives is true once the map shows figures.
const mapLives = `document.querySelector('.marks[data-line="rider_phone-gateway:socket"] .rate')?.textContent === "410/s"`

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
	tab := openTabAt(labContext(t), t, node.URL, "/xray", screen, "prefers-color-scheme: "+scheme)
	tab.WaitUntil(mapLives, pageTimeout)
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
