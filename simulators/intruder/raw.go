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
	finalBit     = 0x80
	opContinued  = 0x0
	opText       = 0x1
	opBinary     = 0x2
	opPing       = 0x9
	opUnknown    = 0xb
	reservedBits = 0x70
)

// maskedFrame is one frame as a client sends it, under a mask of zeros.
func maskedFrame(first byte, payload []byte) []byte {
	return append(frameHeader(first, len(payload)), payload...)
}

// frameHeader is the header of a masked frame, which may lie about its length.
func frameHeader(first byte, length int) []byte {
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
	// The node reads 64 KiB a second. Until it has read all, the connection
	// occupies one of few slots.
	floodBytes = 256 << 10
	floodWrite = time.Second // A node may read slowly on purpose.
	rawWait    = 300 * time.Millisecond
)

func rawAttempts() []attempt {
	ping := []byte{} // An empty message is an empty frame.
	once := map[string][]byte{
		"a huge message":                    maskedFrame(finalBit|opBinary, bytes.Repeat([]byte{0x0a}, 1<<20)),
		"a frame that claims to be endless": frameHeader(finalBit|opBinary, 1<<40),
		"text where bytes are spoken":       maskedFrame(finalBit|opText, []byte(`{"ping":{}}`)),
		"text that is none":                 maskedFrame(finalBit|opText, []byte{0xff, 0xfe, 0xc0}),
		"nested braces":                     maskedFrame(finalBit|opText, []byte(strings.Repeat(`{"hello":`, 400))),
		"bytes that are no frame":           bytes.Repeat(maskedFrame(finalBit|opBinary, []byte{0xff, 0x0a, 0x80, 0x7f}), 20),
		"an empty frame":                    maskedFrame(finalBit|opBinary, ping),
		"an unknown opcode":                 maskedFrame(finalBit|opUnknown, nil),
		"reserved bits":                     maskedFrame(finalBit|reservedBits|opBinary, []byte("x")),
		"no mask":                           {finalBit | opBinary, 2, 'h', 'i'},
		"a ping that is too long":           maskedFrame(finalBit|opPing, make([]byte, 126)),
		"a ping in parts":                   maskedFrame(opPing, []byte("half")),
		"a continuation of nothing":         maskedFrame(finalBit|opContinued, []byte("x")),
		"half a frame":                      frameHeader(finalBit|opBinary, 4000)[:3],
		"a frame without its end":           maskedFrame(finalBit|opBinary, nil)[:4],
	}

	var out []attempt
	for name, data := range once {
		out = append(out, attempt{name, func(i *intruder, ctx context.Context, v *visit) { i.tryRaw(ctx, v, data, 0) }})
	}
	floods := map[string][]byte{
		"a flood of empty continuations": bytes.Repeat(maskedFrame(opContinued, nil), 500),
		"a flood of pings":               bytes.Repeat(maskedFrame(finalBit|opPing, []byte("p")), 500),
		"a flood of small messages":      bytes.Repeat(maskedFrame(finalBit|opBinary, nil), 500),
	}

	for name, data := range floods {
		out = append(out, attempt{name, func(i *intruder, ctx context.Context, v *visit) { i.tryRaw(ctx, v, data, floodFor) }})
	}

	// Maps have no order.
	slices.SortFunc(out, func(a, b attempt) int { return strings.Compare(a.name, b.name) })
	return out
}

// tryRaw writes bytes below the library, once or for a while, and judges what
// comes back.
func (i *intruder) tryRaw(ctx context.Context, v *visit, data []byte, during time.Duration) {
	v.countTried()
	l, ok := i.logIn(ctx, v, "rider")
	if !ok {
		v.Unanswered++
		return
	}
	defer func() { _ = l.Close() }()

	under := l.UnderlyingConn()
	if bytes.HasPrefix(data, maskedFrame(opContinued, nil)) {
		// The frame that is continued.
		if _, err := under.Write(maskedFrame(opBinary, nil)); err != nil {
			return
		}
	}

	for end, sent := time.Now().Add(during), len(data); ; sent += len(data) {
		if err := under.SetWriteDeadline(time.Now().Add(floodWrite)); err != nil {
			break
		}
		if _, err := under.Write(data); err != nil || sent >= floodBytes || time.Now().After(end) || ctx.Err() != nil {
			break // The node slows us down or has closed the connection.
		}
	}

	var err error
	var f *wire.ServerFrame
	for until := time.Now().Add(rawWait); err == nil; {
		if f, err = l.readFrame(until); err == nil {
			i.judgeFrame(v, f)
		}
	}

	if _, closed := err.(*websocket.CloseError); closed {
		v.Refused++
	}
}
