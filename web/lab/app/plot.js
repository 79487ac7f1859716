// Draws a chart as SVG: axes, bands, limits and laws; the guess dashed, earlier
// runs pale, what was measured solid with a number.
import { copyChart, isBarPanel, isMeasured, measuredNames } from './chart.js';
import { drawBars, needsRows } from './bars.js';
import { makeScale, tickLabel } from './scale.js';
import { badge, curveClass, cut, line, pathThrough, svg, text, textWidth } from './svg.js';

/**
 * Draws a model and returns the panels with their places on the screen, for
 * pointers: { chart, width, height, isLive, ghosts, guess, focus, reader,
 * stoppedAt, mayDraw }. focus is the number of a curve or -1; reader is a place from 0 to 1.
 */
export function drawPlot(host, model) {
  const chart = copyChart(model.chart);
  if (!chart.panels.length) chart.panels.push({ curves: [], bars: [] });
  const names = measuredNames(chart);
  const columns = Math.max(1, Math.min(chart.panels.length, Math.floor(model.width / 250)));
  const rows = Math.ceil(chart.panels.length / columns);

  // All panels share their axes.
  const values = valuesOf(chart, model.ghosts);
  const frames = chart.panels.map((panel, i) => {
    const width = model.width / columns, height = model.height;
    const isBars = isBarPanel(panel), inRows = isBars && needsRows(panel, width);
    return { panel, chart, number: i, isBars, inRows, dx: (i % columns) * width, dy: Math.floor(i / columns) * height,
      ...placePlot(chart, panel, values, width, height, inRows) };
  });

  const root = svg('svg', { viewBox: `0 0 ${model.width} ${model.height * rows}`, width: model.width, height: model.height * rows, 'aria-hidden': 'true' },
    svg('defs', {}, hatch('hatch-band', 'hatch'), hatch('hatch-stopped', 'hatch-grey')));
  for (const f of frames) root.append(svg('g', { transform: `translate(${f.dx} ${f.dy})` }, drawPanel(f, model, names)));
  host.replaceChildren(root);
  return frames;
}

function hatch(id, kind) {
  return svg('pattern', { id, width: 7, height: 7, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { width: 7, height: 7, class: `${kind}-ground` }), line(0, 0, 0, 7, `${kind}-line`));
}

function valuesOf(chart, ghosts) {
  const out = { x: [], y: [] };
  for (const c of [chart, ...ghosts.map((g) => g.chart)]) {
    for (const p of c.panels ?? []) {
      for (const at of (p.curves ?? []).flatMap((curve) => curve.points ?? [])) {
        out.x.push(at.x);
        out.y.push(at.y);
      }
      for (const b of p.bars ?? []) out.y.push(b.height);
    }
  }
  for (const p of chart.panels) for (const l of p.limits ?? []) out.y.push(l.at);
  return out;
}

/** The plot's place in its panel, and its scales in pixels. */
function placePlot(chart, panel, values, width, height, inRows) {
  const y = makeScale(chart.y ?? {}, values.y, 5);
  const labels = inRows ? Math.min(width * 0.42, 32 + Math.max(...panel.bars.map((b) => textWidth(b.name))))
    : 14 + Math.max(...y.ticks.map((t) => textWidth(tickLabel(t))));
  const box = { left: labels, right: width - (inRows ? 62 : 14), top: panel.name ? 40 : 22, bottom: height - (chart.x?.name || inRows ? 38 : 26) };
  const x = makeScale(chart.x ?? {}, values.x, (box.right - box.left) / 60);
  return { ...box, x, y, width, height,
    px: (v) => box.left + x.place(v) * (box.right - box.left),
    py: (v) => (inRows ? box.left + y.place(v) * (box.right - box.left) : box.bottom - y.place(v) * (box.bottom - box.top)) };
}

function drawPanel(f, model, names) {
  const labels = { taken: [] };
  const out = [f.panel.name ? text(f.isBars ? 8 : f.left, 18, cut(f.panel.name, f.width - (f.isBars ? 8 : f.left)), 'panel-name') : null, ...drawGrid(f)];
  if (f.isBars) return [...out, ...drawBars(f, model, names)];

  out.push(...(f.panel.bands ?? []).map((b) => drawBand(f, b.from, b.to, b.name, 'band')));
  if (model.stoppedAt !== undefined) out.push(drawBand(f, model.stoppedAt, f.x.high, 'stopped', 'stopped'));
  for (const l of f.panel.limits ?? []) {
    const y = f.py(l.at);
    if (Number.isFinite(y)) out.push(line(f.left, y, f.right, y, 'limit'), labelLine(f, l.name, f.right, y, labels, 'limit-name'));
  }
  for (const g of model.ghosts) out.push(...drawGhost(f, g));
  for (const c of f.panel.curves.filter((c) => c.style === 'law')) out.push(...drawLaw(f, c, labels));
  out.push(...drawMeasured(f, model, names, labels));
  out.push(...drawGuessCurve(f, model, labels));
  if (model.mayDraw && !model.guess && f.number === 0) out.push(invite(f, labels));
  if (model.reader !== null) out.push(...drawReader(f, model, names));
  return out;
}

function drawGrid(f) {
  const { chart } = f, out = [];
  for (const t of f.y.ticks) {
    const at = f.py(t);
    if (f.inRows) out.push(line(at, f.top, at, f.bottom, 'grid'), text(at, f.bottom + 15, tickLabel(t), 'tick', 'middle'));
    else out.push(line(f.left, at, f.right, at, 'grid'), text(f.left - 8, at + 4, tickLabel(t), 'tick', 'end'));
  }
  if (!f.isBars) {
    for (const t of f.x.ticks) out.push(text(f.px(t), f.bottom + 16, tickLabel(t), 'tick', 'middle'));
  }
  const below = f.inRows ? chart.y?.name : chart.x?.name;
  if (below) out.push(text(f.right, f.bottom + 32, below, 'axis-name', 'end'));
  if (!f.inRows && chart.title && chart.y?.name && !f.panel.name) out.push(text(0, 12, chart.y.name, 'axis-name'));
  return out;
}

function drawBand(f, from, to, name, kind) {
  const x1 = Math.max(f.left, f.px(from)), x2 = Math.min(f.right, f.px(to));
  if (!(x2 > x1)) return svg('g');
  const room = Math.max(x2 - x1 - 4, 110);
  return svg('g', {}, svg('rect', { x: x1, y: f.top, width: x2 - x1, height: f.bottom - f.top, class: kind }),
    text(Math.max((x1 + x2) / 2, f.left + textWidth(cut(name, room)) / 2 + 2), f.top + 14, cut(name, room), `${kind}-name`, 'middle'));
}

/** Writes a name at the right end of a line, above it, or below where another stands. */
function labelLine(f, name, x, y, labels, kind) {
  const words = cut(name, f.right - f.left), width = textWidth(words);
  const spot = [y - 5, y + 15, y - 20, y + 30].find((at) => at > f.top - 8 && isFree(labels, x - width, at, width)) ?? y - 5;
  labels.taken.push({ x: x - width, y: spot, width });
  return text(x, spot, words, kind, 'end');
}

const isFree = (labels, x, y, width) => !labels.taken.some((t) => Math.abs(t.y - y) < 14 && x < t.x + t.width && t.x < x + width);

const placed = (f, points) => [...points].sort((a, b) => a.x - b.x).map((p) => [f.px(p.x), f.py(p.y), p]);

function drawLaw(f, curve, labels) {
  const points = placed(f, curve.points).filter(([x, y]) => Number.isFinite(x + y));
  if (!points.length) return [];
  const end = points.findLast(([x]) => x <= f.right + 1) ?? points.at(-1);
  return [svg('path', { d: pathThrough(points), class: 'law' }), labelLine(f, curve.name, Math.min(f.right, end[0]), end[1], labels, 'law-name')];
}

function drawGhost(f, ghost) {
  return (ghost.chart.panels[f.number]?.curves ?? []).filter(isMeasured)
    .map((c) => svg('path', { d: pathThrough(placed(f, c.points ?? [])), class: 'ghost' }));
}

function drawMeasured(f, model, names, labels) {
  const curves = f.panel.curves.filter((c) => isMeasured(c) && c.points.length);
  const atZero = new Map(), lines = [], badges = [], shown = [];
  for (const curve of curves) {
    const number = names.indexOf(curve.name), points = placed(f, curve.points);
    const isFlat = (p) => p.y === f.y.low;
    for (const p of points) { // lines at 0 lie side by side
      if (!isFlat(p[2])) continue;
      const key = Math.round(p[0]), before = atZero.get(key) ?? 0;
      p[1] -= 2 * before;
      atZero.set(key, before + 1);
    }

    const kind = `measured ${curveClass(number)}${model.focus >= 0 && model.focus !== number ? ' faded' : ''}`;
    lines.push(svg('path', { d: pathThrough(points), class: kind }));
    if (curve.dots || points.length === 1) {
      for (const [x, y] of points) if (Number.isFinite(x + y)) lines.push(svg('circle', { cx: x, cy: y, r: 3, class: `dot ${kind}` }));
    }
    shown.push({ curve, number, kind, points: points.filter(([x, y]) => Number.isFinite(x + y)) });
  }
  for (const s of shown) badges.push(...drawBadge(f, s, shown, model, labels));
  return [...lines, ...badges];
}

/** A curve's number stands where it is farthest from the others; during a run, at its end. */
function drawBadge(f, own, shown, model, labels) {
  if (!own.points.length) return [];
  let best = null;
  const tries = model.isLive ? 1 : 24;
  for (let i = 0; i < tries; i++) {
    const index = model.isLive ? own.points.length - 1 : Math.round((own.points.length - 1) * (0.06 + 0.88 * i / (tries - 1)));
    const [x, y] = own.points[index];
    let room = 40;
    for (const other of shown) {
      if (other === own) continue;
      for (const [ox, oy] of other.points) if (Math.abs(ox - x) < 24) room = Math.min(room, Math.hypot(ox - x, oy - y));
    }
    if (!isFree(labels, x - 12, y, 24)) room -= 60;
    if (x < f.left + 12 || x > f.right - 4) room -= 20;
    room += 6 * (x - f.left) / (f.right - f.left); // where curves lie together: to the right
    if (!best || room > best.room) best = { x, y, room, at: own.points[index][2] };
  }

  let { x, y } = best;
  for (let i = 0; model.isLive && i < 8 && !isFree(labels, x - 11, y, 22); i++) x -= 23;
  x = Math.max(f.left + 8, Math.min(f.right - 2, x));
  labels.taken.push({ x: x - 11, y, width: 22 });
  const mark = own.curve.points.findLast((p) => p.mark)?.mark ?? '';
  const out = [badge(x, y, own.number, own.kind)];
  if (mark && !model.isLive && isFree(labels, x + 14, y, textWidth(mark)) && x + 16 + textWidth(mark) < f.right + 10) {
    labels.taken.push({ x: x + 14, y, width: textWidth(mark) });
    out.push(text(x + 15, y + 4, mark, `mark ${own.kind}`));
  }
  return out;
}

function drawGuessCurve(f, model, labels) {
  const { guess } = model;
  if (!guess || guess.panel !== f.number || f.isBars) return [];
  const count = guess.points.length - 1;
  const points = guess.points.map((h, i) => [f.left + (i / count) * (f.right - f.left), f.bottom - h * (f.bottom - f.top)]);
  const out = [svg('path', { d: pathThrough(points), class: 'guess' })];
  if (guess.cursor >= 0) out.push(svg('circle', { cx: points[guess.cursor][0], cy: points[guess.cursor][1], r: 5, class: 'guess-cursor' }));
  const [x, y] = points[Math.round(count * 0.8)], words = guess.curve ? `your guess for ${guess.curve}` : 'your guess';
  const width = textWidth(words), start = Math.max(f.left, Math.min(x, f.right - width));
  const spot = [y + 16, y - 8, y + 30, y - 22].find((at) => at > f.top && at < f.bottom - 2 && isFree(labels, start, at, width));
  return spot === undefined ? out : [...out, text(start, spot, words, 'guess-name')];
}

function invite(f, labels) {
  const words = 'drag here to draw your guess', width = textWidth(words), x = (f.left + f.right) / 2, middle = (f.top + f.bottom) / 2;
  const y = [0, 24, -24, 48, -48].map((by) => middle + by).find((at) => isFree(labels, x - width / 2, at, width)) ?? middle;
  return text(x, y, words, 'invitation', 'middle');
}

/** The reader: a line, and each curve's value at the nearest point. */
function drawReader(f, model, names) {
  const x = f.left + model.reader * (f.right - f.left), at = f.x.value(model.reader);
  const rows = readValues(f, at, names).filter((r) => model.focus < 0 || r.number === model.focus);
  const width = 34 + Math.max(...[tickLabel(0), ...rows.map((r) => r.words)].map(textWidth));
  const left = x + width + 12 > f.right ? x - width - 8 : x + 8;
  const box = svg('g', { class: 'reader-box', transform: `translate(${left} ${f.top + 4})` },
    svg('rect', { width, height: 22 + 18 * rows.length, rx: 8 }), text(10, 16, `at ${formatPlace(at)}`, 'reader-head'),
    rows.flatMap((r, i) => [badge(16, 32 + 18 * i, r.number, `small ${curveClass(r.number)}`), text(30, 36 + 18 * i, r.words, 'reader-value')]));
  return [line(x, f.top, x, f.bottom, 'reader'), box];
}

/** What each measured curve of a panel is at a place of the x axis: [{ number, name, words }]. */
export function readValues(f, at, names) {
  return f.panel.curves.filter((c) => isMeasured(c) && c.points.length).map((c) => {
    const near = c.points.reduce((a, b) => (Math.abs(b.x - at) < Math.abs(a.x - at) ? b : a));
    return { number: names.indexOf(c.name), name: c.name, words: String(Number(near.y.toPrecision(3))) };
  });
}

export const formatPlace = (v) => String(Number(v.toPrecision(3)));
