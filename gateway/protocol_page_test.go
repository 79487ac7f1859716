package gateway

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/chat"
	"github.com/ridehail/ridehail/wire/translate"
)

func protocolPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProtocolPageTellsTheLimitsAsTheyAre(t *testing.T) {
	text, l := protocolPage(t), Limits{}.withDefaults()
	for what, limit := range map[string]string{
		"time to `hello`":                      fmt.Sprintf("%.0f s", l.HelloWithin.Seconds()),
		"token":                                formatThousands(auth.MaxToken) + " bytes",
		"message from a phone":                 formatThousands(int(l.Message)) + " bytes",
		"frames from a phone":                  fmt.Sprintf("%.0f a second, burst of %d", l.FramesPerSec, l.Burst),
		"bytes from a phone":                   fmt.Sprintf("%d KiB a second", l.BytesPerSec>>10),
		"connections of a rider":               strconv.Itoa(l.RiderSockets),
		"connections of a node":                formatThousands(l.Sockets),
		"ordered frames that wait for a phone": strconv.Itoa(l.Queue),
		"a write to a phone":                   fmt.Sprintf("%.0f s", writeWithin.Seconds()),
		"commands that wait":                   fmt.Sprintf("%d a connection", l.Commands),
		"a command":                            fmt.Sprintf("%.0f s", l.CommandWithin.Seconds()),
		"silence": fmt.Sprintf("ping after %.0f s, closed after %.0f s",
			l.PingAfter.Seconds(), l.SilentFor.Seconds()),
		"watched area":       fmt.Sprintf("%.0f km, %d cars", l.AreaMetres/1000, l.AreaCars),
		"positions un-acked": strconv.Itoa(ackWindow),
		"chat message":       formatThousands(chat.MaxRunes) + " characters",
		"reason":             fmt.Sprintf("%d bytes", translate.MaxReason),
	} {
		if row := "\n| " + what + " | " + limit + " |"; !strings.Contains(text, row) {
			t.Errorf("the page's limits have no row %s", row[1:])
		}
	}
}

// formatThousands writes a number below a million as the page does.
func formatThousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
