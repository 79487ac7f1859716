package node

import (
	"fmt"
	"testing"

	"github.com/ridehail/ridehail/sos"
	"github.com/ridehail/ridehail/trips"
)

func TestEachMessageIsToldToThoseWhoNeedIt(t *testing.T) {
	n := openNode(t, func(*Node, trips.Event) {})
	for _, c := range []struct {
		about string
		m     trips.OutboxMessage
		want  string
	}{
		{"a request", trips.OutboxMessage{Topic: trips.TopicTrip, Rider: "ada", Region: "r"}, "[user:rider:ada node:n]"},
		{"a ride", trips.OutboxMessage{Topic: trips.TopicTrip, Rider: "ada", Driver: "dayo", Region: "r"},
			"[user:rider:ada user:driver:dayo node:n]"},
		{"chat", trips.OutboxMessage{Topic: trips.TopicChat, Rider: "ada", Driver: "dayo"}, "[user:rider:ada user:driver:dayo]"},
		{"a receipt", trips.OutboxMessage{Topic: trips.TopicReceipt, Rider: "ada", Driver: "dayo"}, "[user:rider:ada]"},
		{"a call for help", trips.OutboxMessage{Topic: sos.TopicAlert, Kind: sos.KindSOS, Rider: "ada", Driver: "dayo"}, "[]"},
		{"its acknowledgement", trips.OutboxMessage{Topic: sos.TopicAlert, Rider: "ada", Driver: "dayo"},
			"[user:rider:ada user:driver:dayo]"},
		{"a trip that is not known any more", trips.OutboxMessage{Topic: trips.TopicChat}, "[]"},
	} {
		if got := fmt.Sprint(n.audienceOf(c.m)); got != c.want {
			t.Errorf("%s is told to %s, want %s", c.about, got, c.want)
		}
	}
}
