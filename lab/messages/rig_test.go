package messages

import (
	"sync"

	"github.com/ridehail/ridehail/internal/plot"
)

// onFirstPoint calls f once, with the first point of a run.
func onFirstPoint(f func()) func(string, plot.Point) {
	once := sync.OnceFunc(f)
	return func(string, plot.Point) { once() }
}
