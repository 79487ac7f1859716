package node

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

// liveWriteTimeout is how long a watcher may take to read an event. One that
// does not read is dropped; others never wait for it.
const liveWriteTimeout = 2 * time.Second

// ServeHTTP streams what the mechanisms do as Server-Sent Events, one each
// second, until the watcher leaves or does not read, or the node stops.
func (f *liveFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	conn := http.NewResponseController(w)

	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var event bytes.Buffer
	for last := []byte(nil); ; {
		if _, text := f.look(r.Context()); !bytes.Equal(text, last) {
			last = text
			event.Reset()
			fmt.Fprintf(&event, "event: live\ndata: %s\n\n", text) // JSON has no line breaks
			// Only tests have no connection and no deadline.
			_ = conn.SetWriteDeadline(time.Now().Add(liveWriteTimeout))
			if _, err := w.Write(event.Bytes()); err != nil || conn.Flush() != nil {
				return
			}
		}

		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-f.ended:
			return
		}
	}
}
