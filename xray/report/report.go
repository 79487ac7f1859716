// Package report asks a node for rides as it recorded them, and shows them on a
// terminal or as a file for ui.perfetto.dev.
package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ridehail/ridehail/xray"
)

// Ride is what a node tells of a trip.
type Ride = xray.Ride

// The errors of Source that a caller must tell apart. The wrapping error says
// what to do.
var (
	ErrUsage       = errors.New("the node refuses")
	ErrUnreachable = errors.New("the node cannot be reached")
)

// askTimeout is much longer than a node takes.
const askTimeout = 10 * time.Second

// maxAnswer bounds what is read of an answer. A ride of 2000 hops has less.
const maxAnswer = 32 << 20

// Source is a node that is asked for rides.
type Source struct {
	URL   string // of its public or admin API
	Token string // of the trip's rider or driver; empty: none is sent
}

// Ride returns a trip, hop by hop.
func (s Source) Ride(ctx context.Context, trip string) (r xray.Ride, err error) {
	return r, s.get(ctx, "/v1/xray/"+url.PathEscape(trip), &r)
}

// Trips returns the trips that the nodes keep, the newest first.
func (s Source) Trips(ctx context.Context) (k xray.Kept, err error) {
	return k, s.get(ctx, "/v1/xray", &k)
}

func (s Source) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	base, err := url.Parse(s.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("%w: %q is no URL of a node; give one such as http://127.0.0.1:8080", ErrUsage, s.URL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.URL, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return explainNoAnswer(s.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return explainNoAnswer(s.URL, err)
	}
	if res.StatusCode != http.StatusOK {
		return s.explainRefusal(res.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %s answers something else than a ride; is it a node, and not of an earlier build?", ErrUsage, s.URL)
	}
	return nil
}

func explainNoAnswer(address string, err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		return fmt.Errorf("%w: %w (is a node running at %s?)", ErrUnreachable, op, address)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// explainRefusal returns what the node says, and what to do about it.
func (s Source) explainRefusal(status int, body []byte) error {
	var p struct{ Code, Detail string }
	_ = json.Unmarshal(body, &p) // one that is no problem is of something else
	detail := cmp.Or(p.Detail, http.StatusText(status))
	switch {
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("%w: %s says: %s", ErrUnreachable, s.URL, detail)
	case status == http.StatusUnauthorized && s.Token == "":
		return fmt.Errorf("%w: %s asks for a token: give --token with one of the trip's rider or driver, or ask the admin API with --admin", ErrUsage, s.URL)
	case p.Code == "":
		return fmt.Errorf("%w: %s answers %d and is no node of this build", ErrUsage, s.URL, status)
	}
	return fmt.Errorf("%w: %s", ErrUsage, detail)
}
