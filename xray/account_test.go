package xray

import (
	"fmt"
	"testing"
)

func TestAnAccountIsTheSumOfWhatBecameOfItsMessages(t *testing.T) {
	sums := SumByMechanism([]Account{
		{Mechanism: "socket", Class: "chat", Delivered: 4, Recovered: 1, Waiting: 2},
		{Mechanism: "queue", Class: "settlement"},
		{Mechanism: "socket", Class: "position", Delivered: 5, Repeated: 3, Overwritten: 6, Lost: 7},
	})
	want := Account{Mechanism: "socket", Sent: 28, Delivered: 9, Recovered: 1, Repeated: 3, Overwritten: 6, Lost: 7, Waiting: 2}
	if fmt.Sprint(sums) != fmt.Sprint([]Account{want, {Mechanism: "queue"}}) {
		t.Errorf("%+v", sums)
	}
	if got := sums[0].Text(); got != "28 sent = 9 delivered + 1 recovered + 3 repeated + 6 overwritten + 7 lost + 2 waiting" {
		t.Errorf("it says %q", got)
	}
	if got := sums[1].Text(); got != "0 sent" {
		t.Errorf("of nothing it says %q", got)
	}
}
