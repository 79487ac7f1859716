package chaos

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestALossyLineLosesNothingAndKeepsTheOrder(t *testing.T) {
	for _, up := range []bool{true, false} {
		l := echo(t)
		conn := dial(t, l)
		if err := l.applyFault(Fault{Kind: LossyLine, Amount: 50, Up: up}); err != nil {
			t.Fatal(err)
		}

		var said strings.Builder
		for i := range 20 {
			word := strings.Repeat(string(rune('a'+i)), 100)
			said.WriteString(word)
			say(t, conn, word)
		}

		hear(t, conn, said.String())
		if err := l.removeFault(); err != nil {
			t.Fatal(err)
		}

		say(t, conn, "and on the same connection")
		hear(t, conn, "and on the same connection")
	}
}

func TestWhatIsLostForEverIsSentAgainLaterAndHealingBringsItAtOnce(t *testing.T) {
	l := echo(t)
	conn := dial(t, l)
	if err := l.applyFault(Fault{Kind: LossyLine, Amount: 100}); err != nil {
		t.Fatal(err)
	}

	say(t, conn, "lost")
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(conn, make([]byte, 1)); n != 0 {
		t.Fatalf("heard %d bytes, %v", n, err)
	}
	if err := l.removeFault(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}

	hear(t, conn, "lost")
}
