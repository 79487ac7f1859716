package citygen

import "math"

func (p XY) add(q XY) XY        { return XY{p.X + q.X, p.Y + q.Y} }
func (p XY) subtract(q XY) XY   { return XY{p.X - q.X, p.Y - q.Y} }
func (p XY) scale(f float64) XY { return XY{p.X * f, p.Y * f} }
func (p XY) dot(q XY) float64   { return p.X*q.X + p.Y*q.Y }
func (p XY) length() float64    { return math.Hypot(p.X, p.Y) }
func (p XY) leftNormal() XY     { return XY{-p.Y, p.X} }
func (p XY) interpolateTo(q XY, t float64) XY {
	return XY{interpolate(p.X, q.X, t), interpolate(p.Y, q.Y, t)}
}

func (p XY) unit() XY {
	if l := p.length(); l > 0 {
		return p.scale(1 / l)
	}
	return XY{1, 0}
}

// capsule is a thick line with round ends.
type capsule struct {
	a, b   XY
	radius float64
}

// depthAt returns how far inside the line p lies, in metres; negative outside.
func (c capsule) depthAt(p XY) float64 {
	ab := c.b.subtract(c.a)
	t := 0.0
	if l := ab.dot(ab); l > 0 {
		t = max(0, min(1, p.subtract(c.a).dot(ab)/l))
	}
	return c.radius - p.subtract(c.a.interpolateTo(c.b, t)).length()
}

// smoothCurve returns a smooth line through the points (Catmull and Rom), with
// a point about every `every` metres.
func smoothCurve(through []XY, every float64, closed bool) []XY {
	n := len(through)
	at := func(i int) XY {
		if closed {
			return through[(i+n)%n]
		}
		return through[max(0, min(n-1, i))]
	}

	spans := n - 1
	if closed {
		spans = n
	}

	var out []XY
	for i := range spans {
		p0, p1, p2, p3 := at(i-1), at(i), at(i+1), at(i+2)
		steps := max(1, int(p2.subtract(p1).length()/every))
		for s := range steps {
			t := float64(s) / float64(steps)
			a := p1.scale(2)
			b := p2.subtract(p0).scale(t)
			c := p0.scale(2).subtract(p1.scale(5)).add(p2.scale(4)).subtract(p3).scale(t * t)
			d := p1.scale(3).subtract(p0).subtract(p2.scale(3)).add(p3).scale(t * t * t)
			out = append(out, a.add(b).add(c).add(d).scale(0.5))
		}
	}

	return append(out, at(spans))
}

// simplifyLine leaves out points within `off` metres of the line without them
// (D. Douglas, T. Peucker, 1973).
func simplifyLine(line []XY, off float64) []XY {
	if len(line) < 3 {
		return line
	}
	a, b := line[0], line[len(line)-1]
	far, at := 0.0, 0
	for i, p := range line[1 : len(line)-1] {
		if d := -(capsule{a: a, b: b}).depthAt(p); d > far {
			far, at = d, i+1
		}
	}

	if far <= off {
		return []XY{a, b}
	}
	head := simplifyLine(line[:at+1], off)
	return append(head[:len(head)-1:len(head)-1], simplifyLine(line[at:], off)...)
}

// crossSegments returns where the segments ab and cd cross, as a share of each.
func crossSegments(a, b, c, d XY) (s, t float64, ok bool) {
	u, v, w := b.subtract(a), d.subtract(c), c.subtract(a)
	det := u.X*v.Y - u.Y*v.X
	if math.Abs(det) < 1e-9 {
		return 0, 0, false
	}
	s, t = (w.X*v.Y-w.Y*v.X)/det, (w.X*u.Y-w.Y*u.X)/det
	return s, t, s >= 0 && s <= 1 && t >= 0 && t <= 1
}
