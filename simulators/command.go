package simulators

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ridehail/ridehail/wire"
)

const (
	resendAfter = 4 * time.Second // without an ack
	retryAfter  = time.Second     // after an ack that says "try again", at most; doubled each time
	retryMost   = 4 * time.Second
	giveUpAfter = 60 * time.Second // after all tries
)

// command is sent until it is acked.
type command struct {
	frame *wire.ClientFrame
	made  time.Time
	again time.Time // when to send it again
	tries int       // answered with "try again"
}

// retry is how long to wait after an ack that says "try again", spread so that a crowd that got it at once does not come
// back at once.
func (c *command) retry() time.Duration {
	limit := min(retryMost, retryAfter<<min(c.tries, 10))
	c.tries++
	return limit/4 + rand.N(limit*3/4)
}

// command sends a frame under a new id, which it returns, and again under the same id until it is acked.
func (p *phone) command(f *wire.ClientFrame, now time.Time) string {
	p.mu.Lock()
	p.made++
	f.Id = fmt.Sprintf("%s-%d", p.prefix, p.made)
	p.commands = append(p.commands, &command{frame: f, made: now, again: now.Add(resendAfter)})
	p.mu.Unlock()
	p.invoke(f)
	p.send(f)
	return f.Id
}

// chase sends what waits for its ack for too long, and answers in the node's place what it never answered.
func (p *phone) chase(now time.Time) (givenUp []*wire.Ack) {
	p.mu.Lock()
	var late []*wire.ClientFrame
	kept := p.commands[:0]
	for _, c := range p.commands {
		if now.Sub(c.made) > giveUpAfter {
			p.unanswered(c.frame)
			givenUp = append(givenUp,
				&wire.Ack{Id: c.frame.Id, Code: string(wire.CodeUnavailable), Message: "The node never answered."})
			continue
		}
		kept = append(kept, c)
		if p.ready && due(c.again, now) {
			c.again = now.Add(resendAfter)
			late = append(late, c.frame)
		}
	}
	clear(p.commands[len(kept):])
	p.commands = kept
	p.mu.Unlock()
	for _, f := range late {
		p.send(f)
	}
	return givenUp
}

// resend sends everything un-acked on a new connection.
func (p *phone) resend(now time.Time) {
	p.mu.Lock()
	frames := make([]*wire.ClientFrame, len(p.commands))
	for i, c := range p.commands {
		c.again = now.Add(resendAfter)
		frames[i] = c.frame
	}
	p.mu.Unlock()
	for _, f := range frames {
		p.send(f)
	}
}

// acked strikes a command off the list and says whether its owner should hear of it. One that may be tried again under
// the same id stays.
func (p *phone) acked(a *wire.Ack, now time.Time) bool {
	c := p.strike(a, now)
	if c == nil {
		if a.Id == "" { // a complaint about a frame that is no command
			p.net.stats.refused.Add(1)
			p.net.log.Warn("the node does not like a frame of ours", "who", p.id, "code", a.Code, "message", a.Message)
		}
		return false
	}
	p.answered(c.frame, a)
	if a.Trip != nil {
		p.witness.read(a.Trip)
	}
	if say := c.frame.GetSendChat(); say != nil && a.Code == "" {
		p.witness.said(say.TripId, a.ChatSeq)
		p.net.stats.chatSent.Add(1)
	}
	if c.frame.GetSos() != nil && a.Code == "" {
		p.net.stats.called.Add(1)
	}
	return true
}

func (p *phone) strike(a *wire.Ack, now time.Time) *command {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.commands {
		if c.frame.Id != a.Id {
			continue
		}
		switch wire.Code(a.Code) {
		case wire.CodeUnavailable, wire.CodeTooMany, wire.CodeInternal:
			c.again = now.Add(c.retry())
			return nil
		}
		p.commands = append(p.commands[:i], p.commands[i+1:]...)
		return c
	}
	return nil // acked before
}

// busy says whether a command waits for its ack.
func (p *phone) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.commands) > 0
}

// speaking counts chat messages whose number is not known yet.
func (p *phone) speaking() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.commands {
		if c.frame.GetSendChat() != nil {
			n++
		}
	}
	return n
}
