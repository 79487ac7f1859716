package gateway

// commandQueue keeps a session's commands in order. One goroutine of the
// session carries them out, and exists only while there are some. It has no
// lock of its own.
type commandQueue struct {
	waiting []command
	working bool // the session's goroutine carries commands out
	closed  bool // the node is draining: no command is taken any more
}

// admission is what add did with a command.
type admission uint8

const (
	commandQueued admission = iota
	commandFirst            // queued, and the caller must start the goroutine
	commandFull             // not taken: too many wait
	commandClosed           // not taken: the phone sends it to another node
)

// addCommand queues a command behind the earlier ones, if fewer than limit
// wait.
func (q *commandQueue) addCommand(c command, limit int) admission {
	switch {
	case q.closed:
		return commandClosed
	case len(q.waiting) >= limit:
		return commandFull
	}

	q.waiting = append(q.waiting, c)
	if q.working {
		return commandQueued
	}
	q.working = true
	return commandFirst
}

// nextCommand removes the command to carry out. When it returns false the
// goroutine must end.
func (q *commandQueue) nextCommand() (c command, ok bool) {
	if len(q.waiting) == 0 {
		q.waiting, q.working = nil, false
		return c, false
	}
	c = q.waiting[0]
	q.waiting = q.waiting[1:]
	return c, true
}

// close makes addCommand refuse all later commands.
func (q *commandQueue) close() { q.closed = true }

// count returns how many commands wait or are carried out.
func (q *commandQueue) count() int {
	if q.working {
		return len(q.waiting) + 1
	}
	return len(q.waiting)
}

// isFinished returns true once the queue is closed and all it took is carried
// out.
func (q *commandQueue) isFinished() bool { return q.closed && !q.working }
