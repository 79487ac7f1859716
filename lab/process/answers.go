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
	return exchangeWith(ctx, address, func(conn net.Conn) error {
		const protocol = 3 << 16
		start := binary.BigEndian.AppendUint32(nil, protocol)
		start = append(start, "user\x00postgres\x00database\x00postgres\x00\x00"...)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(start)+4)), start...)); err != nil {
			return err
		}

		in := bufio.NewReader(conn)
		for {
			kind, body, err := readMessage(in)
			switch {
			case err != nil:
				return err
			case kind == 'E':
				return fmt.Errorf("postgres refuses: %q", body)
			case kind == 'Z': // ready for a query
				_, err := conn.Write([]byte{'X', 0, 0, 0, 4})
				return err
			}
		}
	})
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
