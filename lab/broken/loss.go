package broken

import "crypto/rand"

// NewIDForEachTry returns the id that a phone sends with a try. It is the
// mistake that no server can mend: to the server, a repetition looks like
// another message.
func NewIDForEachTry() string { return rand.Text() }

// IDsInMemory remembers which commands a server has carried out, beside the
// effects and not with them. A crash forgets it and keeps the effects.
type IDsInMemory struct{ done map[string]bool }

// Once carries out a command unless it was carried out before.
func (m *IDsInMemory) Once(id string, carryOut func() error) error {
	if m.done[id] {
		return nil
	}
	if err := carryOut(); err != nil {
		return err
	}
	if m.done == nil {
		m.done = map[string]bool{}
	}
	m.done[id] = true
	return nil
}
