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

// ErrRefused means that a node answered no, and that the same request will not
// succeed later.
var ErrRefused = errors.New("the node refuses")

// StatusError is an HTTP answer other than a success. errors.Is(err,
// ErrRefused) holds unless the same request may succeed later (status 408, 429
// or 5xx).
type StatusError struct {
	Path       string        // of the request
	Status     int           // HTTP status
	RetryAfter time.Duration // the wait the node asks for; 0 for none
	Code       wire.Code     // the problem's code; "" when the answer has none
	Detail     string        // an explanation for a person
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Path, e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Is reports whether target is ErrRefused and a retry is useless.
func (e *StatusError) Is(target error) bool {
	return target == ErrRefused && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// newStatusError returns nil for a success, otherwise a *StatusError.
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

// parseRetryAfter reads a number of seconds. It returns 0 for any other form.
func parseRetryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Request is one call of a node's HTTP API.
type Request struct {
	Method string // such as http.MethodPost
	Path   string // such as "/v1/quotes"
	Token  string // bearer token; "" for calls that need none
	ID     string // Idempotency-Key of a command; "" for other calls
	Body   any    // sent as JSON; nil for no body
}

const maxAnswerBytes = 1 << 20

// CallAPI sends a request to a node once and decodes its JSON answer into out.
// A nil out ignores the answer. Errors: *StatusError for an answer other than a
// success, ErrRefused for an invalid address, otherwise a network error or that
// of ctx.
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

// TokenSource returns a token that is valid at a server. DevTokens is one for
// development; a program with its own token issuer supplies its own.
type TokenSource func(ctx context.Context, server string) (string, error)

// DevTokens returns a TokenSource for one user that asks the node itself. The
// node must run with --dev-tokens: it then gives a token for any user to any
// caller.
func (c *Client) DevTokens(role, id string) TokenSource {
	return func(ctx context.Context, server string) (string, error) {
		return c.DevToken(ctx, server, role, id)
	}
}

// DevToken asks one node that runs with --dev-tokens for a token. Errors: as
// CallAPI.
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
