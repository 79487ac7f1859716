package node

import (
	"testing"

	"github.com/ridehail/ridehail/trips"
)

// BenchmarkLook is what all watchers together cost once a second.
func BenchmarkLook(b *testing.B) {
	n := openNode(b, func(*Node, trips.Event) {})
	for b.Loop() {
		n.newLive(b.Context(), n.live.lines)
	}
}
