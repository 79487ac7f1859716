package webtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
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
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
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
	tab := openTabAt(labContext(t), t, url, "/lab/curves?pace=60", screen, "prefers-color-scheme: "+scheme)
	tab.waitForExperiment("curves")
	tab.Screenshot("1-before")
	tab.drag(0.2, 0.9, 0.9, 0.4)
	tab.RunAction("guess", chromedp.KeyEvent("b"))
	tab.Screenshot("2-guessed")
	tab.clickRun()
	tab.WaitUntil(`document.querySelectorAll("#plot .measured").length > 10 && Number(document.querySelector(".run-words").textContent[0]) > 0`, pageTimeout)
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
	for i := 1; i <= 10; i++ {
		x, y = at(x1+(x2-x1)*float64(i)/10, y1+(y2-y1)*float64(i)/10)
		tab.RunAction("drag", chromedp.MouseEvent(chromedp.MouseMoved, x, y, chromedp.ButtonLeft))
	}
	tab.RunAction("let go", chromedp.MouseEvent(chromedp.MouseReleased, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

var _ = kb.Tab
