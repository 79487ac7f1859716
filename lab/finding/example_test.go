package finding_test

import (
	"context"
	"fmt"

	"github.com/ridehail/ridehail/lab/finding"
)

func Example() {
	coins := finding.Experiment{
		Name:     "coins",
		Question: "How often does a coin show heads?",
		Options:  []string{"half of the time", "never"},
		Knobs:    []finding.Knob{{Name: "throws", Default: 100, Low: 1, High: 1000, Step: 1}},
		Run: func(_ context.Context, run *finding.Run) (finding.Result, error) {
			heads := run.Int("throws") / 2 // a very fair coin
			return finding.Result{Seen: 0, Claims: []finding.Claim{
				{Text: "half show heads", Got: fmt.Sprint(heads), Want: fmt.Sprint(run.Int("throws") / 2), Exact: true, Holds: true},
			}}, nil
		},
	}

	values, err := coins.Check(map[string]string{"throws": "40"})
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := coins.Perform(context.Background(), &finding.Run{Values: values, Seed: 1}, finding.NoGuess)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(found.Command)
	fmt.Printf("%s: %s of %s, holds: %v\n", found.Claims[0].Text, found.Claims[0].Got, found.Settings[0].Value, found.HasHeld())
	// Output:
	// ridehail lab coins --throws 40 --seed 1
	// half show heads: 20 of 40, holds: true
}
