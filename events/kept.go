package events

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// AddExpiring adds a text to a set until a time. The set may be lost with
// Redis; callers that need the text add it again.
func (r *Redis) AddExpiring(ctx context.Context, set, text string, until time.Time) error {
	err := r.commands.ZAdd(ctx, r.expiringKey(set), redis.Z{Score: float64(until.UnixMilli()), Member: text}).Err()
	if err != nil {
		return fmt.Errorf("keep in %s: %w", set, err)
	}
	return nil
}

// ListUnexpired returns the texts of a set whose time is after now, earliest
// first, and deletes the others.
func (r *Redis) ListUnexpired(ctx context.Context, set string, now time.Time) ([]string, error) {
	kept, err := r.commands.ZRangeWithScores(ctx, r.expiringKey(set), 0, -1).Result()
	var list []string
	for _, text := range kept {
		if text.Score > float64(now.UnixMilli()) {
			list = append(list, fmt.Sprint(text.Member))
		}
	}
	if err == nil && len(list) < len(kept) {
		err = r.commands.ZRemRangeByScore(ctx, r.expiringKey(set), "-inf", strconv.FormatInt(now.UnixMilli(), 10)).Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read what is kept in %s: %w", set, err)
	}
	return list, nil
}

func (r *Redis) expiringKey(set string) string { return r.prefix + "kept:" + set }
