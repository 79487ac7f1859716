package memory

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/lab/finding"
)

func TestPrint(t *testing.T) {
	e := Ladder()
	v, _ := e.Check(nil)
	f, err := e.Perform(t.Context(), &finding.Run{Values: v, Seed: 1}, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Detail.Rows {
		fmt.Println(r)
	}
	for _, c := range f.Claims {
		fmt.Printf("%v %s: %s (%s)\n", c.Holds, c.Text, c.Got, c.Want)
	}
	for _, c := range f.Notice {
		fmt.Println(c)
	}
	fmt.Println(f.Seen, f.Seconds)
}
