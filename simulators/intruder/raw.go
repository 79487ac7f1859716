package intruder

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ridehail/ridehail/wire"
)

// The parts of a frame's first byte (RFC 6455).
const (
	final        = 0x80
	opContinued  = 0x0
	opText       = 0x1
	opBinary     = 0x2
	opPing       = 0x9
	opUnknown    = 0xb
	reservedBits = 0x70
)

// frame is one frame as a client sends it, under a mask of zeros.
func frame(first byte, payload []byte) []byte { return append(header(first, len(payload)), payload...) }

func header(first byte, length int) []byte {
	out := []byte{first}
	switch {
	case length < 126:
		out = append(out, 0x80|byte(length))
	case length < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(length))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(length))
	}
	return append(out, 0, 0, 0, 0)
}

const (
	floodFor = 300 * time.Millisecond
	// the node reads 64 KiB a second and keeps one of few places for us until
	// it has read them all
	floodBytes = 256 << 10
	floodWrite = time.Second // a node that reads slowly on purpose holds us up
	rawWait    = 300 * time.Millisecond
)

func rawAttempts() []attempt {
	ping := []byte{} // an empty message is an empty frame, too
	once := map[string][]byte{
		"a huge message":                    frame(final|opBinary, bytes.Repeat([]byte{0x0a}, 1<<20)),
		"a frame that claims to be endless": header(final|opBinary, 1<<40),
		"text where bytes are spoken":       frame(final|opText, []byte(`{"ping":{}}`)),
		"text that is none":                 frame(final|opText, []byte{0xff, 0xfe, 0xc0}),
		"nested braces":                     frame(final|opText, []byte(strings.Repeat(`{"hello":`, 400))),
		"bytes that are no frame":           bytes.Repeat(frame(final|opBinary, []byte{0xff, 0x0a, 0x80, 0x7f}), 20),
		"an empty frame":                    frame(final|opBinary, ping),
		"an unknown opcode":                 frame(final|opUnknown, nil),
		"reserved bits":                     frame(final|reservedBits|opBinary, []byte("x")),
		"no mask":                           {final | opBinary, 2, 'h', 'i'},
		"a ping that is too long":           frame(final|opPing, make([]byte, 126)),
		"a ping in parts":                   frame(opPing, []byte("half")),
		"a continuation of nothing":         frame(final|opContinued, []byte("x")),
		"half a frame":                      header(final|opBinary, 4000)[:3],
		"a frame without its end":           frame(final|opBinary, nil)[:4],
	}

	var out []attempt
	for name, data := range once {
		out = append(out, attempt{name, func(i *intruder, ctx context.Context, v *visit) { i.raw(ctx, v, data, 0) }})
	}
	floods := map[string][]byte{
		"a flood of empty continuations": bytes.Repeat(frame(opContinued, nil), 500),
		"a flood of pings":               bytes.Repeat(frame(final|opPing, []byte("p")), 500),
		"a flood of small messages":      bytes.Repeat(frame(final|opBinary, nil), 500),
	}

	for name, data := range floods {
		out = append(out, attempt{name, func(i *intruder, ctx context.Context, v *visit) { i.raw(ctx, v, data, floodFor) }})
	}

	// a map has no order
	slices.SortFunc(out, func(a, b attempt) int { return strings.Compare(a.name, b.name) })
	return out
}

// raw writes bytes below the library, once or for a while, and judges what
// comes of it.
func (i *intruder) raw(ctx context.Context, v *visit, data []byte, during time.Duration) {
	v.tried()
	l, ok := i.enter(ctx, v, "rider")
	if !ok {
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	under := l.UnderlyingConn()
	if bytes.HasPrefix(data, frame(opContinued, nil)) {
		// what is continued
		if _, err := under.Write(frame(opBinary, nil)); err != nil {
			return
		}
	}

	for end, sent := time.Now().Add(during), len(data); ; sent += len(data) {
		if err := under.SetWriteDeadline(time.Now().Add(floodWrite)); err != nil {
			break
		}
		if _, err := under.Write(data); err != nil || sent >= floodBytes || time.Now().After(end) || ctx.Err() != nil {
			break // it is held up, or thrown out
		}
	}

	var err error
	var f *wire.ServerFrame
	for until := time.Now().Add(rawWait); err == nil; {
		if f, err = l.next(until); err == nil {
			i.judge(v, f)
		}
	}

	if _, closed := err.(*websocket.CloseError); closed {
		v.Refused++
	}
}
