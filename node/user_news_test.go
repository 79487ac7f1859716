package node

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/trips"
)

// followLog records what userNews asks of a listener.
type followLog struct{ calls []string }

func (l *followLog) Follow(c ...events.Channel) {
	l.calls = append(l.calls, fmt.Sprint("follow ", c))
}
func (l *followLog) Unfollow(c ...events.Channel) {
	slices.Sort(c)
	l.calls = append(l.calls, fmt.Sprint("unfollow ", c))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAUsersNewsIsHeardFromTheFirstSessionUntilSomeTimeAfterTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log followLog
		news := newUserNews(&log, func() bool { return true })
		ada, dayo := trips.Rider("ada"), trips.Driver("dayo")

		first, driver := news.joinUser(ada), news.joinUser(dayo)
		second := news.joinUser(ada)
		if isClosed(first) || isClosed(second) {
			t.Error("it is confirmed before Redis has confirmed it")
		}
		news.confirmUsers([]trips.Actor{ada, trips.Rider("unknown")})
		if !isClosed(first) || !isClosed(second) || isClosed(driver) {
			t.Error("the confirmation is for both sessions of that user, and for no other")
		}
		news.confirmUsers(nil)
		if !isClosed(driver) {
			t.Error("the confirmation of all is for each")
		}

		news.leaveUser(ada)
		time.Sleep(2 * newsLinger)
		news.forgetLeft()
		if news.count() != 2 {
			t.Error("it forgot a user who has a session")
		}

		news.leaveUser(ada)
		time.Sleep(newsLinger - 1)
		news.forgetLeft()
		if again := news.joinUser(ada); !isClosed(again) {
			t.Error("a phone that comes back soon waits")
		}

		news.leaveUser(ada)
		news.leaveUser(dayo)
		time.Sleep(newsLinger)
		news.forgetLeft()
		want := "[follow [user:rider:ada] follow [user:driver:dayo] unfollow [user:driver:dayo user:rider:ada]]"
		if got := fmt.Sprint(log.calls); got != want || news.count() != 0 {
			t.Errorf("%s, and %d are left", got, news.count())
		}

		if isClosed(news.joinUser(ada)) {
			t.Error("what was confirmed before it was given up does not count")
		}
	})
}

func TestAPhoneDoesNotWaitForNewsWhileNothingIsHeard(t *testing.T) {
	listening := false
	news := newUserNews(new(followLog), func() bool { return listening })
	if news.joinUser(trips.Rider("ada")) != nil {
		t.Error("it would wait for Redis, which is away")
	}
	listening = true
	if c := news.joinUser(trips.Rider("ada")); c == nil || isClosed(c) {
		t.Error("Redis is back and will confirm")
	}
}
