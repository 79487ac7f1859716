package finding

import (
	"strings"
	"unicode/utf8"
)

// tableLines returns the table, aligned: columns of figures to the right.
func (f Finding) tableLines() (lines []string) {
	if len(f.Table.Rows) == 0 {
		return nil
	}
	rows := append([][]string{f.Table.Columns}, f.Table.Rows...)
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
