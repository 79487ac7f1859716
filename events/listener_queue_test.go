package events

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// isCar is the rule of a positions road.
func isCar(c Channel) bool { return strings.HasPrefix(string(c), "car:") }

// drain takes everything from a queue, in words.
func drain(q *queue) (all []string) {
	for {
		it, ok := q.take()
		switch {
		case !ok:
			return all
		case it.gap != nil:
			all = append(all, fmt.Sprint(it.gap.Why, it.gap.Channels))
		default:
			all = append(all, string(it.Payload))
		}
	}
}

func checkDrained(t *testing.T, q *queue, want ...string) {
	t.Helper()
	if got := drain(q); !reflect.DeepEqual(got, want) {
		t.Errorf("the handler gets %q, want %q", got, want)
	}
}

func put(q *queue, c Channel, payload string) outcome {
	return q.putMessage(Message{Channel: c, Payload: []byte(payload)})
}

func TestASlowHandlerLosesMessagesButIsTold(t *testing.T) {
	q := newQueue(2, nil)
	var got []outcome
	for i, c := range []Channel{"a", "b", "c", "d", "c"} {
		got = append(got, put(q, c, fmt.Sprint(i)))
	}
	if want := []outcome{queued, queued, droppedAGap, dropped, dropped}; !reflect.DeepEqual(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}

	if it, _ := q.take(); string(it.Payload) != "0" {
		t.Errorf("first %+v", it)
	}
	put(q, "a", "5")
	put(q, "e", "6")
	checkDrained(t, q, "1", "overflowed[c d]", "5", "overflowed[e]")
}

func TestAnOverflowOfManyChannelsConcernsAll(t *testing.T) {
	q := newQueue(0, nil)
	for i := range gapChannels + 1 {
		put(q, Channel(fmt.Sprint(i)), "")
	}
	checkDrained(t, q, "overflowed[]")
}

func TestANewerPositionTakesThePlaceOfOneThatWaits(t *testing.T) {
	q := newQueue(1, isCar)
	for _, m := range []struct {
		c       Channel
		payload string
		want    outcome
	}{{"car:1", "1a", queued}, {"fleet", "f", queued}, {"car:2", "2a", queued}, {"car:1", "1b", overwrote},
		{"car:2", "2b", overwrote}, {"car:1", "1c", overwrote}, {"fleet", "dropped without a gap", dropped}} {
		if got := put(q, m.c, m.payload); got != m.want {
			t.Errorf("%s: outcome %v, want %v", m.payload, got, m.want)
		}
	}

	checkDrained(t, q, "1c", "f", "2b")
	if put(q, "car:1", "1d") != queued {
		t.Error("it took the place of a message that the handler has")
	}
}

func TestPlacesInTheQueueStayRightWhileItIsEmptied(t *testing.T) {
	q := newQueue(10, isCar)
	newest := map[Channel]string{}
	taken := 0
	for i := range 20_000 {
		c := Channel(fmt.Sprint("car:", i*7919%3001))
		newest[c] = fmt.Sprint(i)
		put(q, c, newest[c])
		if i%3 == 0 {
			it, _ := q.take()
			taken++
			if want := newest[it.Channel]; string(it.Payload) != want {
				t.Fatalf("take %d: %s has %s, want %s", taken, it.Channel, it.Payload, want)
			}
			delete(newest, it.Channel)
		}
	}
	if left := len(drain(q)); left != len(newest) {
		t.Errorf("%d wait, want %d", left, len(newest))
	}
}

func TestGapsThatWaitTogetherAreOne(t *testing.T) {
	q := newQueue(2, nil)
	q.putGap(Gap{GapSubscribed, []Channel{"a"}})
	q.putGap(Gap{GapSubscribed, []Channel{"b", "c"}})
	q.putGap(Gap{GapReconnected, []Channel{"d"}})
	q.putGap(Gap{GapReconnected, nil})
	put(q, "a", "1")
	q.putGap(Gap{GapSubscribed, []Channel{"e"}})
	checkDrained(t, q, "subscribed[a b c]", "reconnected[]", "1", "subscribed[e]")
}
