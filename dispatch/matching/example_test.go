package matching_test

import (
	"fmt"

	"github.com/ridehail/ridehail/dispatch/matching"
)

// Two riders and two drivers. The first driver is the nearest for both riders.
// Greedy matching gives that driver to the first rider and sends the second
// rider a distant one. The exact matching is cheaper in total.
func ExampleGraph_Assign() {
	graph := matching.NewGraph(2)
	graph.Row(1000) // The cost of leaving the rider unmatched.
	graph.Edge(0, 10)
	graph.Edge(1, 20)
	graph.Row(1000)
	graph.Edge(0, 15)
	graph.Edge(1, 500)

	exact, err := graph.Assign()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exact:", exact.Row, "cost", exact.Cost)
	fmt.Println("proof:", graph.Proves(exact))

	greedy, err := graph.Greedy()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("greedy:", greedy.Row, "cost", greedy.Cost)

	// Output:
	// exact: [1 0] cost 35
	// proof: <nil>
	// greedy: [0 1] cost 510
}
