package minheap

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestItemsComeOutInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Heap
		var in, out []Item
		pop := func() {
			key, node := h.Pop()
			out = append(out, Item{key, node})
		}

		for range rapid.IntRange(0, 60).Draw(t, "items") {
			i := Item{rapid.Int64Range(-3, 9).Draw(t, "key"), rapid.Int32Range(0, 5).Draw(t, "node")}
			in = append(in, i)
			h.Push(i.Key, i.Node)
			if lowest := slices.MinFunc(h, compareItems); h[0] != lowest {
				t.Fatalf("%v is first, not %v", h[0], lowest)
			}
		}

		for len(h) > 0 {
			pop()
		}
		slices.SortFunc(in, compareItems)
		if !slices.Equal(in, out) {
			t.Fatalf("%v came out as %v", in, out)
		}
	})
}

func compareItems(a, b Item) int {
	switch {
	case a.sortsBefore(b):
		return -1
	case b.sortsBefore(a):
		return 1
	}
	return 0
}
