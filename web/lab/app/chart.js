// Charts as data: what comes in during a run, what earlier runs leave behind,
// and the table beside the plot. Nothing here touches the page.

export const isMeasured = (curve) => !curve.style;
export const isBarPanel = (panel) => (panel.bars?.length ?? 0) > 0;

/** A copy that points can be added to. */
export function copyChart(chart) {
  return {
    ...chart,
    panels: (chart?.panels ?? []).map((p) => ({
      ...p,
      curves: (p.curves ?? []).map((c) => ({ ...c, points: [...(c.points ?? [])] })),
      bars: (p.bars ?? []).map((b) => ({ ...b })),
    })),
  };
}

/**
 * Adds measured points in place. A point belongs to the bar or the curve of its
 * name, or to the bar at its place. A new name is a new curve, and a new bar in
 * a chart that has no curves and no end of its x axis.
 */
export function addPoints(chart, points) {
  if (!chart.panels.length) chart.panels.push({ curves: [], bars: [] });
  for (const { c: name, x, y } of points) {
    const bar = findBar(chart, name, x);
    if (bar) {
      bar.height = y;
      continue;
    }

    const curve = chart.panels.flatMap((p) => p.curves).find((c) => c.name === name && isMeasured(c));
    if (curve) curve.points.push({ x, y });
    else if (hasNoCurves(chart) && !chart.x?.end) chart.panels[0].bars.push({ name, height: y });
    else chart.panels[0].curves.push({ name, points: [{ x, y }] });
  }
  return chart;
}

const hasNoCurves = (chart) => chart.panels.every((p) => p.curves.length === 0);

function findBar(chart, name, place) {
  for (const p of chart.panels) {
    const bars = p.bars.filter((b) => !b.style), called = barNames(p)[place];
    const ofGroup = name ? bars.filter((b) => b.group === name) : [];
    const found = ofGroup.find((b) => b.name === called) ?? only(bars.filter((b) => b.name === name))
      ?? (ofGroup.length === 0 && p.curves.length === 0 ? only(bars.filter((b) => b.name === called)) : null);
    if (found) return found;
  }
  return null;
}

const only = (bars) => (bars.length === 1 ? bars[0] : null);

/** The places of a panel's bars. Bars of one name stand side by side at one place. */
export const barNames = (panel) => [...new Set((panel.bars ?? []).map((b) => b.name))];

/** The measured curves, or the groups of bars, by number: [{ name, panels }]. */
export function measuredNames(chart) {
  const names = new Set();
  for (const p of chart?.panels ?? []) {
    for (const c of p.curves ?? []) if (isMeasured(c)) names.add(c.name);
    for (const b of p.bars ?? []) if (!b.style && b.group) names.add(b.group);
  }
  return [...names];
}

/** What is written beside a curve in the legend: its last mark, else its last value. */
export function lastWord(chart, name) {
  for (const p of chart.panels) {
    const points = (p.curves ?? []).find((c) => c.name === name && isMeasured(c))?.points ?? [];
    if (points.length === 0) continue;
    return points.findLast((at) => at.mark)?.mark ?? '';
  }
  return '';
}

/** How an earlier run differs from the one that is shown, such as "Retries 4". */
export function nameGhost(earlier, now) {
  const differing = earlier.settings.filter((s) => now.settings.find((t) => t.name === s.name)?.value !== s.value)
    .map((s) => `${s.label} ${s.value}`);
  if (String(earlier.seed) !== String(now.seed)) differing.push(`seed ${earlier.seed}`);
  return differing.length ? differing.join(', ') : 'same settings';
}

/** The last three runs before the one that is shown, the newest first, each with its name. */
export function ghostsOf(runs, shown) {
  return runs.filter((r) => r !== shown).slice(-3).reverse().map((r) => ({ chart: r.chart, name: nameGhost(r, shown) }));
}

/** The table of a panel's points: { columns, rows } of text and numbers. */
export function pointTable(chart, panel) {
  if (isBarPanel(panel)) {
    const hasGroups = panel.bars.some((b) => b.group);
    const axis = [chart.x?.name || 'name', ...(hasGroups ? ['of'] : []), chart.y?.name || 'value'];
    return { columns: axis, rows: panel.bars.map((b) => [b.name, ...(hasGroups ? [b.group ?? ''] : []), b.height]) };
  }

  const known = (panel.curves ?? []).filter((c) => c.points?.length);
  const curves = [...known.filter(isMeasured), ...known.filter((c) => !isMeasured(c))];
  const places = [...new Set(curves.flatMap((c) => c.points.map((p) => p.x)))].sort((a, b) => a - b);
  const values = curves.map((c) => new Map(c.points.map((p) => [p.x, p.y])));
  return { columns: [chart.x?.name || 'x', ...curves.map((c) => c.name)], rows: places.map((x) => [x, ...values.map((v) => v.get(x) ?? '')]) };
}

/** RFC 4180. */
export function csv({ columns, rows }) {
  const cell = (v) => (/[",\r\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v));
  return [columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** The points of a guess on an even grid over the x axis, all at one height. */
export const guessSteps = 24;

/** Sets the guess between two places (0 to 1, place and height) in place, as a pen drags. */
export function drawGuess(points, from, to) {
  const count = points.length - 1;
  const [a, b] = from.x <= to.x ? [from, to] : [to, from];
  const first = Math.round(a.x * count), last = Math.round(b.x * count);
  for (let i = Math.max(0, first); i <= Math.min(count, last); i++) {
    const share = b.x === a.x ? 1 : Math.min(1, Math.max(0, (i / count - a.x) / (b.x - a.x)));
    points[i] = Math.min(1, Math.max(0, a.y + share * (b.y - a.y)));
  }
  if (first === last) points[first] = Math.min(1, Math.max(0, to.y));
  return points;
}
