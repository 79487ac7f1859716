package memory

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/ridehail/ridehail/lab/line"
)

const (
	kernelBatch = 8
	requestSize = 4
)

// socketRungs returns the bare sockets: a question of four bytes, and an answer
// of the size that it asks for.
func (r *ladderRig) socketRungs() ([]rung, error) {
	var out []rung
	for _, kind := range []struct{ name, network, address string }{
		{unixRung, "unix", filepath.Join(r.folder, "ladder.sock")}, {tcpRung, "tcp", "127.0.0.1:0"}} {
		server, err := r.openEcho(kind.network, kind.address)
		if err != nil {
			return nil, err
		}
		ask, err := r.dialEcho(kind.network, server)
		if err != nil {
			return nil, err
		}
		out = append(out, rung{name: kind.name, band: byKernel, sizes: r.answerSizes(), batch: kernelBatch, read: ask})
	}

	away, err := r.openLine(r.where[len(r.where)-1].Where)
	if err != nil {
		return nil, err
	}
	ask, err := r.dialEcho("tcp", away)
	out[1].readAway = func() error { return ask(small) }
	return out, err
}

// openLine opens a line of the knob's distance to an address of this machine,
// HOST:PORT or http://HOST:PORT, and returns the address of its near end.
func (r *ladderRig) openLine(to string) (address string, err error) {
	l, err := line.Open(strings.TrimPrefix(to, "http://"), line.OfRoundTrip(r.run.Milliseconds("away")), r.run.Seed)
	if err != nil {
		return "", err
	}
	r.onClose(func() error { l.Close(); return nil })
	return l.Address(), nil
}

// openEcho starts a server and returns its address.
func (r *ladderRig) openEcho(network, address string) (string, error) {
	server, err := (&net.ListenConfig{}).Listen(r.ctx, network, address)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	r.onClose(server.Close)
	r.addPart(network+" socket", server.Addr().String())
	r.running.Go(func() { serveEcho(r, server) })
	return server.Addr().String(), nil
}

func serveEcho(r *ladderRig, server net.Listener) {
	for {
		conn, err := server.Accept()
		if err != nil {
			return // closed
		}
		r.onClose(conn.Close)
		r.running.Go(func() { echo(conn, make([]byte, r.answerSizes()[1])) })
	}
}

// echo answers each question with as many bytes of the position as it asks for.
func echo(conn net.Conn, position []byte) {
	var question [requestSize]byte
	for {
		if _, err := io.ReadFull(conn, question[:]); err != nil {
			return // closed
		}
		size := min(int(binary.BigEndian.Uint32(question[:])), len(position))
		if _, err := conn.Write(position[:size]); err != nil {
			return
		}
	}
}

// dialEcho returns how to ask an echo server over one connection.
func (r *ladderRig) dialEcho(network, address string) (ask func(size int) error, err error) {
	conn, err := (&net.Dialer{}).DialContext(r.ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.onClose(conn.Close)

	answer := make([]byte, r.answerSizes()[1])
	return func(size int) error {
		var question [requestSize]byte
		binary.BigEndian.PutUint32(question[:], uint32(size))
		if _, err := conn.Write(question[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, answer[:size])
		return err
	}, nil
}
