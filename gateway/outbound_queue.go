package gateway

// outboundFrame is an encoded frame, with what is counted once it is written.
type outboundFrame struct {
	data    []byte
	class   class
	outcome outcome   // sent or recovered
	hop     *frameHop // what is recorded then; nil: nothing
}

// outboundQueue keeps the frames that a phone must get in order. It is bounded
// and drops nothing: a phone whose queue is full is disconnected and resumes,
// since what it missed is numbered and kept in the store. It has no lock of its
// own.
type outboundQueue struct {
	frames []outboundFrame
}

// push appends a frame; false if limit frames wait already.
func (q *outboundQueue) push(f outboundFrame, limit int) bool {
	if len(q.frames) >= limit {
		return false
	}
	q.frames = append(q.frames, f)
	return true
}

// pop removes the oldest frame; false if there is none.
func (q *outboundQueue) pop() (outboundFrame, bool) {
	if len(q.frames) == 0 {
		return outboundFrame{}, false
	}
	f := q.frames[0]
	if q.frames = q.frames[1:]; len(q.frames) == 0 {
		q.frames = nil // an idle phone keeps no memory
	}
	return f, true
}

// drain removes and returns all frames.
func (q *outboundQueue) drain() []outboundFrame {
	frames := q.frames
	q.frames = nil
	return frames
}

func (q *outboundQueue) isEmpty() bool { return len(q.frames) == 0 }
