// The tables beside the plot: what the run sums up, and every point.
import { el, fill } from '../../app/dom.js';
import { csv, isBarPanel, pointTable } from './chart.js';
import { figure } from './scale.js';

export function renderTable(host, chart, finding, on) {
  const tables = [];
  if (finding?.table?.rows?.length) tables.push(renderOne('Summed up', finding.table, on));
  for (const panel of chart?.panels ?? []) {
    const t = pointTable(chart, { curves: [], ...panel });
    if (t.rows.length && t.columns.length > 1) tables.push(renderOne(panel.name || (isBarPanel(panel) ? 'The bars' : 'The points'), t, on));
  }
  fill(host, ...(tables.length ? tables : [el('p.empty', {}, 'Nothing is measured yet.')]));
}

function renderOne(title, table, on) {
  const isNumber = (v) => typeof v === 'number';
  return el('div.table', {}, el('div.table-head', {}, el('h3', {}, title), el('button.link', { type: 'button', onclick: () => on.copy(csv(table), 'the table as CSV') }, 'Copy as CSV')),
    el('div.scroll', { tabindex: 0, role: 'region', 'aria-label': title }, el('table', {},
      el('thead', {}, el('tr', {}, table.columns.map((c) => el('th', { scope: 'col' }, c)))),
      el('tbody', {}, table.rows.map((row) => el('tr', {}, row.map((cell, i) => (i === 0 ? el('th', { scope: 'row' }, isNumber(cell) ? String(Number(cell.toPrecision(6))) : cell)
        : el('td', { 'data-number': isNumber(cell) || null }, isNumber(cell) ? figure(cell) : cell)))))))));
}
