package node

import (
	"context"
	"time"

	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/gateway"
	"github.com/ridehail/ridehail/location"
)

// everywhere is a region that every node listens to.
const everywhere location.Region = "everywhere"

// revocations is a gateway.Keeper on Redis.
type revocations struct {
	redis *events.Redis
	now   func() time.Time
}

func (r revocations) Keep(ctx context.Context, notice []byte, until time.Time) error {
	return r.redis.Keep(ctx, gateway.TopicRevoked, string(notice), until)
}

func (r revocations) Tell(ctx context.Context, notice []byte) error {
	return r.redis.Publish(ctx, events.Message{Topic: gateway.TopicRevoked, Region: everywhere, Payload: notice})
}

func (r revocations) Kept(ctx context.Context) ([][]byte, error) {
	list, err := r.redis.Kept(ctx, gateway.TopicRevoked, r.now())
	notices := make([][]byte, len(list))
	for i, text := range list {
		notices[i] = []byte(text)
	}
	return notices, err
}
