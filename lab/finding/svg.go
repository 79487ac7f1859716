package finding

// SVG returns the finding's chart under its question.
func (f Finding) SVG() string {
	c := f.Chart
	c.Title, c.Subtitle = f.Question, f.Command
	return c.SVG()
}
