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
	graph.AddRow(1000) // The cost of leaving the rider unmatched.
	graph.AddEdge(0, 10)
	graph.AddEdge(1, 20)
	graph.AddRow(1000)
	graph.AddEdge(0, 15)
	graph.AddEdge(1, 500)

	exact, err := graph.Assign()
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println("exact:", exact.ColumnOf, "cost", exact.Cost)
	fmt.Println("proof:", graph.VerifyOptimal(exact))

	greedy, err := graph.AssignGreedy()
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println("greedy:", greedy.ColumnOf, "cost", greedy.Cost)

	// Output:
	// exact: [1 0] cost 35
	// proof: <nil>
	// greedy: [0 1] cost 510
}
