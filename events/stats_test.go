package events

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWhatANodeAndRedisSayToEachOtherIsCounted(t *testing.T) {
	runOnBoth(t, func(t *testing.T, r *rig) {
		reg := prometheus.NewRegistry()
		n, err := Open(t.Context(), r.url, WithPrefix(r.prefix), WithRegisterer(reg))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		l := startListening(t, n, "counted", "here")

		const text = "a payload that is longer than all commands before it together: "
		payload := strings.Repeat(text, 1000)
		if err := r.Publish(t.Context(), OldRegionChannel("here"), Message{Topic: "trip", Region: "here", Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
		for receiveFrom(t, "the message", l.heard).gap != "" { // a channel's subscription is confirmed
		}

		received, sent := testutil.ToFloat64(n.metrics.bytesIn), testutil.ToFloat64(n.metrics.bytesOut)
		if in := float64(len(payload)); received < in || received > in+10_000 || sent == 0 || sent > 10_000 {
			t.Errorf("%g bytes came and %g went, of a message of %g", received, sent, in)
		}
		if got := testutil.ToFloat64(n.metrics.heard["region"].messages); got != 1 {
			t.Errorf("%g messages came by the region", got)
		}
		if got := testutil.ToFloat64(n.metrics.heard["region"].bytes); got < float64(len(payload)) || got > float64(len(payload))+200 {
			t.Errorf("%g bytes came by the region", got)
		}
		if count, err := testutil.GatherAndCount(reg, "ridehail_redis_commands_total"); err != nil || count != 1 {
			t.Errorf("commands: %d, %v", count, err)
		}
	})
}
