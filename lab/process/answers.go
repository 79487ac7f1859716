package process

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// HTTPAnswers returns a function that asks a URL and returns an error unless
// the status is a success.
func HTTPAnswers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()

		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}

		res, err := FreshHTTP.Do(req)
		if err != nil {
			return err
		}

		_ = res.Body.Close()
		if res.StatusCode >= 300 {
			return errors.New(res.Status)
		}

		return nil
	}
}

// FreshHTTP makes a connection for each request, so that each answer shows the
// current state of the server and its line.
var FreshHTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// RedisDo sends one command of one word, past all proxies, and expects an
// answer. A Redis that still loads its files answers something else.
func RedisDo(ctx context.Context, address, word, want string) error {
	return exchangeWith(ctx, address, func(conn net.Conn) error {
		if _, err := fmt.Fprintf(conn, "%s\r\n", word); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		if line != want+"\r\n" {
			return fmt.Errorf("%s: redis answers %q", word, line)
		}
		return nil
	})
}

// postgresAnswers opens a session as the user postgres, and closes it when the
// server is ready for a query. A server that still recovers refuses.
func postgresAnswers(ctx context.Context, address string) error {
	_, err := PostgresDo(ctx, address, "")
	return err
}

// PostgresDo carries out one statement of SQL as the user postgres, past all
// proxies, and returns the first value of the last row. Without a statement it
// only opens a session.
func PostgresDo(ctx context.Context, address, sql string) (value string, err error) {
	err = exchangeWith(ctx, address, func(conn net.Conn) error {
		const protocol = 3 << 16
		start := binary.BigEndian.AppendUint32(nil, protocol)
		start = append(start, "user\x00postgres\x00database\x00postgres\x00\x00"...)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(start)+4)), start...)); err != nil {
			return err
		}

		in := bufio.NewReader(conn)
		_, err := awaitReadyForQuery(in)
		if err == nil && sql != "" {
			ask := binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(len(sql)+5))
			if _, err = conn.Write(append(append(ask, sql...), 0)); err == nil {
				value, err = awaitReadyForQuery(in)
			}
		}
		if err == nil {
			_, err = conn.Write([]byte{'X', 0, 0, 0, 4})
		}
		return err
	})
	return value, err
}

// awaitReadyForQuery reads messages until the server is ready for a query, and
// returns the first value of the last row.
func awaitReadyForQuery(in *bufio.Reader) (value string, err error) {
	for {
		kind, body, err := readMessage(in)
		switch {
		case err != nil:
			return "", err
		case kind == 'E':
			return "", fmt.Errorf("postgres refuses: %q", body)
		case kind == 'Z':
			return value, nil
		case kind == 'D' && len(body) >= 6: // two bytes count the values
			size := int(int32(binary.BigEndian.Uint32(body[2:])))
			value = string(body[6:][:min(max(size, 0), len(body)-6)])
		}
	}
}

// readMessage reads one message of Postgres' protocol.
func readMessage(in *bufio.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}

	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 1<<16 {
		return 0, nil, fmt.Errorf("postgres sends a message of %d bytes", size)
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(in, body)
	return head[0], body, err
}

// exchangeWith connects to a server for one exchange of at most answerWithin.
func exchangeWith(ctx context.Context, address string, exchange func(net.Conn) error) error {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	return exchange(conn)
}

// redisCall sends one command to a Redis, past all proxies, and returns its
// answer; the members of a list are separated by line breaks.
func redisCall(ctx context.Context, address string, words ...string) (answer string, err error) {
	err = exchangeWith(ctx, address, func(conn net.Conn) error {
		out := fmt.Appendf(nil, "*%d\r\n", len(words))
		for _, w := range words {
			out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
		answer, err = readRedis(bufio.NewReader(conn))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w", strings.Join(words[:min(2, len(words))], " "), address, err)
	}
	return answer, nil
}

// readRedis reads one answer of Redis' protocol.
func readRedis(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, text := line[0], strings.TrimRight(line[1:], "\r\n")
	size, _ := strconv.Atoi(text) // only of the two kinds that have one

	switch kind {
	case '-':
		return "", errors.New(text)
	case '$':
		body := make([]byte, max(size, 0)+2)
		if size < 0 {
			return "", nil
		}
		_, err := io.ReadFull(in, body)
		return string(body[:size]), err
	case '*':
		var members []string
		for range size {
			m, err := readRedis(in)
			if err != nil {
				return "", err
			}
			members = append(members, m)
		}
		return strings.Join(members, "\n"), nil
	}
	return text, nil
}
