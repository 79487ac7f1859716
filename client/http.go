package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/ridehail/ridehail/wire"
)

// ErrRefused says that a node answered, and that asking again will not help.
var ErrRefused = errors.New("the node refuses")

// StatusError is an HTTP answer that is no success. It is ErrRefused unless the
// same request may succeed later.
type StatusError struct {
	Path       string
	Status     int
	RetryAfter time.Duration // what the node asks for; 0 when it does not
	Code       wire.Code     // of the problem; "" when the answer has none
	Detail     string        // for a person
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Path, e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Is makes the final ones ErrRefused.
func (e *StatusError) Is(target error) bool {
	return target == ErrRefused && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// newStatusError returns nil for a success.
func newStatusError(res *http.Response, body []byte) error {
	if res.StatusCode < 300 {
		return nil
	}
	e := &StatusError{Path: res.Request.URL.Path, Status: res.StatusCode, RetryAfter: parseRetryAfter(res.Header.Get("Retry-After"))}
	var problem struct {
		Code   wire.Code `json:"code"`
		Detail string    `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil {
		e.Code, e.Detail = problem.Code, problem.Detail
	}
	return e
}

// parseRetryAfter reads a number of seconds; anything else counts as nothing.
func parseRetryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Request is one call of a node's HTTP API.
type Request struct {
	Method, Path string
	Token        string // "" for calls that need none
	// of the command, sent as Idempotency-Key; "" for calls that are no
	// commands
	ID   string
	Body any // sent as JSON; nil for none
}

// maxAnswerBytes bounds an answer in bytes.
const maxAnswerBytes = 1 << 20

// CallAPI sends a request to a node and decodes its JSON answer into out, unless
// out is nil. Errors: *StatusError for an answer that is no success, ErrRefused
// for an address that can never answer, or what went wrong on the way.
func (c *Client) CallAPI(ctx context.Context, server string, r Request, out any) error {
	req, err := newRequest(ctx, server, r)
	if err != nil {
		return err
	}

	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", r.Path, err)
	}
	defer func() { _ = res.Body.Close() }()

	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", r.Path, err)
	}
	if err := newStatusError(res, answer); err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer %.80q of %s: %w", answer, r.Path, err)
	}

	return nil
}

func newRequest(ctx context.Context, server string, r Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		text, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s: %w", r.Path, err)
		}
		body = bytes.NewReader(text)
	}

	req, err := http.NewRequestWithContext(ctx, r.Method, server+r.Path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}

	req.Header.Set("Content-Type", "application/json")
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.ID != "" {
		req.Header.Set("Idempotency-Key", r.ID)
	}

	return req, nil
}

// TokenSource returns a token that a server takes. Who has tokens of another
// issuer writes one of these.
type TokenSource func(ctx context.Context, server string) (string, error)

// DevTokens asks a node's development issuer, which gives anyone a token for
// anybody when the node runs with --dev-tokens.
func (c *Client) DevTokens(role, id string) TokenSource {
	return func(ctx context.Context, server string) (string, error) { return c.DevToken(ctx, server, role, id) }
}

// DevToken asks a node's development issuer for one token. Errors: as CallAPI.
func (c *Client) DevToken(ctx context.Context, server, role, id string) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	ask := Request{Method: http.MethodPost, Path: "/v1/dev/tokens", Body: map[string]string{"role": role, "id": id}}

	err := c.CallAPI(ctx, server, ask, &answer)
	switch {
	case errors.As(err, new(*StatusError)):
		return "", fmt.Errorf("no token: %w; start the node with --dev-tokens", err)
	case err != nil:
		return "", fmt.Errorf("ask for a token: %w", err)
	case answer.Token == "":
		return "", errors.New("the node's answer holds no token")
	}

	return answer.Token, nil
}
