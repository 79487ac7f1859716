package gateway

import (
	"sync"

	"github.com/ridehail/ridehail/wire"
)

// sender is what waits to be written to a phone. There is no writer goroutine:
// a goroutine that has something to send leaves it here and writes, unless
// another is writing already and will find it. All methods are safe for any
// goroutine.
type sender struct {
	// Fixed at creation.
	g    *Gateway
	conn *phoneConn

	mu       sync.Mutex // guards below; not held while writing to the socket
	open     bool       // the welcome is queued: frames may be written
	writing  bool       // a goroutine writes
	retiring bool       // once the queue is empty, the connection ends
	queue    outboundQueue
	position latestPosition
	cars     nearbyCars
	refusals *fixRefusals // nil before the first refused fix

	framesWritten uint64 // also those that were lost in writing
	// the class, plus one, of the frame that is being written
	underWay class
}

// nothingUnderWay says that no frame is being written.
const nothingUnderWay class = 0

// sendFrame queues a frame as something happens. A goroutine of its own writes
// it, so that the caller never waits for a slow phone.
func (o *sender) sendFrame(f *wire.ServerFrame) { o.sendFrameAs(f, outcomeSent, nil) }

// sendFrameAs is send for a frame that may have been recovered from the store.
// hop is what will be recorded of it, or nil.
func (o *sender) sendFrameAs(f *wire.ServerFrame, how outcome, hop *frameHop) {
	if o.queueFrame(f, how, hop) {
		o.g.spawn(o.flush)
	}
}

// writeNow queues a frame and writes it now; only for goroutines of this
// session.
func (o *sender) writeNow(f *wire.ServerFrame, hop *frameHop) {
	if o.queueFrame(f, outcomeSent, hop) {
		o.flush()
	}
}

// queueFrame queues a frame; true if no goroutine is writing, so that the
// caller must call flush. When the queue is full the connection ends with a
// code that says "come back and resume".
func (o *sender) queueFrame(f *wire.ServerFrame, how outcome, hop *frameHop) bool {
	o.mu.Lock()
	defer o.mu.Unlock()

	class := classOf(f)
	if o.conn.hasEnded() {
		o.finishFrame(outboundFrame{class: class, hop: hop}, outcomeGone)
		return false
	}

	data, err := o.conn.codec.Append(nil, f)
	if err != nil {
		o.g.cfg.Log.Error("a frame cannot be encoded", "class", classNames[class], "err", err)
		return false
	}
	if hop != nil {
		hop.describe(f, data)
	}

	out := outboundFrame{data, class, how, hop}
	if !o.queue.push(out, o.g.cfg.Limits.Queue) {
		o.finishFrame(out, outcomeSlow)
		o.conn.closeWith(wire.CloseSlow, "you read too slowly: come back and resume")
		return false
	}

	return !o.writing
}

// openSending lets frames be written, once the welcome is queued. The caller
// must call flush.
func (o *sender) openSending() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = true
}

// retire ends the connection once what is queued is written.
func (o *sender) retire() {
	o.mu.Lock()
	o.retiring = true
	done := !o.writing && o.queue.isEmpty()
	o.mu.Unlock()
	if done {
		o.endRetired()
	}
}

func (o *sender) endRetired() { o.conn.closeWith(closeDraining, "the node is stopping: come back") }

// flush writes until nothing is left that may be written. It returns at once if
// another goroutine is writing, or before the welcome is queued.
func (o *sender) flush() {
	scratch := positionFrames.Get().(*positionFrame)
	defer positionFrames.Put(scratch)

	o.mu.Lock()
	if o.writing || !o.open {
		o.mu.Unlock()
		return
	}

	o.writing = true

	for !o.conn.hasEnded() {
		f, ok := o.nextLocked(scratch)
		if !ok {
			break
		}
		o.framesWritten++
		o.underWay = f.class + 1
		o.mu.Unlock()
		o.writeFrame(f)
		o.mu.Lock()
		o.underWay = nothingUnderWay
	}

	o.writing = false
	done := o.retiring && o.queue.isEmpty()
	o.mu.Unlock()

	if done {
		o.endRetired()
	}
}

// nextLocked takes the next frame to write: those in order first, then the
// position, then the cars.
func (o *sender) nextLocked(scratch *positionFrame) (outboundFrame, bool) {
	if f, ok := o.queue.pop(); ok {
		return f, true
	}
	if o.position.isReady() {
		data := o.encodePositionLocked(scratch)
		f := outboundFrame{data: data, class: classPosition, outcome: outcomeSent}
		if o.position.trace != nil && data != nil {
			f.hop = o.takePositionHopLocked(scratch, data)
		}
		return f, data != nil
	}

	data := o.cars.takeList()
	return outboundFrame{data: data, class: classCars, outcome: outcomeSent}, data != nil
}

// writeFrame writes a frame and counts it. A list of cars is followed by a
// ping, whose pong says that the phone has read the list.
func (o *sender) writeFrame(f outboundFrame) {
	if err := o.conn.writeMessage(f.data); err != nil {
		o.finishFrame(f, outcomeGone)
		o.conn.endUnwritable()
		return
	}
	o.finishFrame(f, f.outcome)
	if f.class == classCars {
		o.conn.sendPing(carsPing, writeWithin)
	}
}

func (o *sender) encodePositionLocked(f *positionFrame) []byte {
	now := o.g.cfg.Now()
	o.position.fillFrame(f, now)
	o.g.metrics.hop.Observe(now.Sub(o.position.received).Seconds())

	data, err := o.conn.codec.Append(f.buf[:0], &f.frame)
	if err != nil {
		o.g.cfg.Log.Error("a position cannot be encoded", "driver", o.position.driver, "err", err)
		o.countMessage(classPosition, outcomeGone)
		return nil
	}

	f.buf = data
	return data
}

// discardAll counts what waits for a phone that is gone, and forgets it.
func (o *sender) discardAll() {
	o.mu.Lock()
	defer o.mu.Unlock()

	for _, f := range o.queue.drain() {
		o.finishFrame(f, outcomeGone)
	}
	if o.position.fresh {
		o.countMessage(classPosition, outcomeGone)
		o.recordUnsentPositionLocked(outcomeGone)
	}
	o.position.followCar("", "")
	if o.cars.watchArea(nil) {
		o.countMessage(classCars, outcomeGone)
	}
}

// finishFrame counts what became of a frame, and records it if its trip is
// sampled.
func (o *sender) finishFrame(f outboundFrame, what outcome) {
	o.countMessage(f.class, what)
	if f.hop != nil {
		o.g.recordFrame(f.hop, what)
	}
}

func (o *sender) countMessage(c class, what outcome) { o.g.metrics.delivery.countMessage(c, what) }
