package gateway

import "github.com/ridehail/ridehail/location"

// area is where a rider looks at cars.
type area struct {
	centre location.Point
	metres float64
}

// nearbyCars is the list of cars near a point that a rider's phone shows. The
// newest list overwrites the one before, and no list is made while the phone
// has not read the last one. It has no lock of its own.
type nearbyCars struct {
	area   *area  // nil: the rider looks at no cars
	frame  []byte // the newest list, encoded and not sent
	unread bool   // a list was sent, and the phone has not read it yet
}

// watchArea looks at another area, or at none. It returns true if a list was
// dropped that waited to be sent.
func (c *nearbyCars) watchArea(a *area) (dropped bool) {
	dropped = c.frame != nil
	c.area, c.frame = a, nil
	return dropped
}

// dueArea returns the area of which the phone can take a new list, or nil.
func (c *nearbyCars) dueArea() *area {
	if c.unread {
		return nil
	}
	return c.area
}

// putList keeps a list of an area, which due returned. It is not kept if the
// rider looks elsewhere by now. It may overwrite a list that waits.
func (c *nearbyCars) putList(a *area, frame []byte) (kept, overwrote bool) {
	if c.area != a {
		return false, false
	}
	overwrote = c.frame != nil
	c.frame = frame
	return true, overwrote
}

// takeList removes the list to send, which then counts as unread; nil if there
// is none or the phone has not read the last one.
func (c *nearbyCars) takeList() []byte {
	if c.frame == nil || c.unread {
		return nil
	}
	frame := c.frame
	c.frame, c.unread = nil, true
	return frame
}

// markRead says that the phone has read all lists sent to it; false if none was
// unread.
func (c *nearbyCars) markRead() bool {
	was := c.unread
	c.unread = false
	return was
}
