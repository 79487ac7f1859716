package node

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
)

// everywhere is a region that every node listens to.
const everywhere location.Region = "everywhere"

// revocationKeeper is an auth.Keeper on Redis.
type revocationKeeper struct {
	redis *events.Redis
	now   func() time.Time
}

func (r revocationKeeper) KeepNotice(ctx context.Context, notice []byte, until time.Time) error {
	return r.redis.AddExpiring(ctx, auth.TopicRevoked, string(notice), until)
}

func (r revocationKeeper) PublishNotice(ctx context.Context, notice []byte) error {
	return r.redis.Publish(ctx, events.Everyone, events.Message{Topic: auth.TopicRevoked, Region: everywhere, Payload: notice})
}

func (r revocationKeeper) ListNotices(ctx context.Context) ([][]byte, error) {
	list, err := r.redis.ListUnexpired(ctx, auth.TopicRevoked, r.now())
	notices := make([][]byte, len(list))
	for i, text := range list {
		notices[i] = []byte(text)
	}
	return notices, err
}
