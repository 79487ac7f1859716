package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/trips"
)

func (c *testNode) operatorsPage() string { return getPath(c.api.Admin(), "/ops").Body.String() }

// A driver whose phone claims to drive and never leaves its coordinates goes on
// working; the operators are told once.
func TestADriverWithMadeUpPositionsIsShownToTheOperatorsAndNotCutOff(t *testing.T) {
	c := newTestNode(t, nil)
	p := c.connectPhone(trips.Driver("d"), asProto, nil)
	if page := c.operatorsPage(); strings.Contains(page, "Positions in doubt") {
		t.Fatalf("before anything happened: %s", page)
	}

	for i := range 120 {
		c.pass(time.Second)
		f := fixFrame(market, uint32(i+1), c.now())
		f.GetFix().Speed = 12
		p.sendFrame(f)
		p.awaitHandled()
	}

	if n := c.countFixes("accepted"); n != 120 {
		t.Errorf("%d of 120 fixes were believed", n)
	}

	metrics := getPath(c.api.Admin(), "/metrics").Body.String()
	for _, reason := range location.FlagNames {
		line := fmt.Sprintf("ridehail_flags_total{reason=%q} %d\n", reason, map[bool]int{true: 1}[reason == "frozen"])
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}

	page := c.operatorsPage()
	for _, want := range []string{"Positions in doubt", "<b>frozen</b>", "driver d", "6.45000, 3.38000"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page %s", want, page)
		}
	}
}
