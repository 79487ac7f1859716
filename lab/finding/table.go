package finding

import (
	"strings"
	"unicode/utf8"
)

// DetailText returns the longer table for a terminal, at any length, or
// "" when a run has none.
func (f Finding) DetailText() string {
	if f.Detail == nil {
		return ""
	}
	return "\n" + strings.Join(f.Detail.alignRows(), "\n") + "\n"
}

// alignRows returns the lines of a table: columns of figures to the right.
func (t Table) alignRows() (lines []string) {
	if len(t.Rows) == 0 {
		return nil
	}

	rows := append([][]string{t.Columns}, t.Rows...)
	widths, figures := measureColumns(rows)
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if figures[i] {
				cell, space = space, cell
			}
			b.WriteString(cell + space)
		}
		lines = append(lines, "  "+strings.TrimRight(b.String(), " "))
	}
	return lines
}

// measureColumns returns the widths of the columns, and which of them hold
// figures in all rows but the heading.
func measureColumns(rows [][]string) (widths []int, figures []bool) {
	for n, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths, figures = append(widths, 0), append(figures, i > 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			if n > 0 && !startsAsFigure(cell) {
				figures[i] = false
			}
		}
	}
	return widths, figures
}

// startsAsFigure is also true for a cell without a figure.
func startsAsFigure(cell string) bool {
	cell = strings.TrimLeft(cell, "-+<>~=≤≥ ")
	return cell == "" || cell == "none" || '0' <= cell[0] && cell[0] <= '9' || strings.HasPrefix(cell, "–")
}
