package memory

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
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
		ask, err := r.openEcho(kind.network, kind.address)
		if err != nil {
			return nil, err
		}
		out = append(out, rung{name: kind.name, band: byKernel, sizes: r.sizes(), batch: kernelBatch, read: ask})
	}
	return out, nil
}

// openEcho starts a server and returns how to ask it over one connection.
func (r *ladderRig) openEcho(network, address string) (ask func(size int) error, err error) {
	server, err := (&net.ListenConfig{}).Listen(r.ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	r.onClose(server.Close)
	r.addPart(network+" socket", server.Addr().String())
	r.running.Go(func() { serveEcho(r, server) })
	return r.dialEcho(r.ctx, network, server.Addr().String())
}

func serveEcho(r *ladderRig, server net.Listener) {
	for {
		conn, err := server.Accept()
		if err != nil {
			return // closed
		}
		r.onClose(conn.Close)
		r.running.Go(func() { echo(conn, make([]byte, r.sizes()[1])) })
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

func (r *ladderRig) dialEcho(ctx context.Context, network, address string) (ask func(size int) error, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.onClose(conn.Close)

	answer := make([]byte, r.sizes()[1])
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
