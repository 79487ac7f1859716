// Bars: upright where their names fit side by side, else in rows.
import { barNames } from './chart.js';
import { figure } from './scale.js';
import { badge, curveClass, cut, line, svg, text, textWidth } from './svg.js';

export function needsRows(panel, width) {
  const names = barNames(panel);
  return names.some((name) => textWidth(name) + 6 > (width - 60) / names.length);
}

export function drawBars(f, model, names) {
  const out = [];
  for (const b of f.panel.bands ?? []) out.push(drawBarBand(f, b));
  for (const l of f.panel.limits ?? []) out.push(...drawBarLimit(f, l));
  const places = barNames(f.panel);
  places.forEach((name, i) => {
    const place = slotOf(f, i, places.length);
    out.push(f.inRows ? text(f.left - 8, place.middle + 4, cut(name, f.left - 10), 'bar-name', 'end')
      : text(place.middle, f.bottom + 16, name, 'bar-name', 'middle'));
    if (model.guess?.panel === f.number && model.guess.points[i] !== undefined) {
      out.push(tickAcross(f, place, model.guess.points[i], `guess${model.guess.cursor === i ? ' chosen' : ''}`));
    }
  });
  for (const bar of f.panel.bars) {
    const place = slotOf(f, places.indexOf(bar.name), places.length), beside = f.panel.bars.filter((b) => b.name === bar.name);
    const size = place.size * 0.82 / beside.length, from = place.from + place.size * 0.09 + beside.indexOf(bar) * size;
    const slot = { from, size, middle: from + size / 2 }, number = Math.max(0, names.indexOf(bar.group));
    const isFaded = model.focus >= 0 && model.focus !== number;
    out.push(...drawBar(f, bar, slot, `${bar.style === 'law' ? 'law-bar' : `bar ${curveClass(names.length ? number : 3)}`}${isFaded ? ' faded' : ''}`, names.length > 1 && !bar.style ? number : -1, model.isDone));
    for (const g of model.ghosts) {
      const before = g.chart.panels[f.number]?.bars?.find((b) => b.name === bar.name && b.group === bar.group);
      if (before?.height > 0) out.push(tickAcross(f, slot, f.y.place(before.height), 'ghost'));
    }
  }
  if (model.guess?.panel === f.number) out.push(text(f.right, f.top - 6, 'dashed: your guess', 'guess-name', 'end'));
  else if (model.mayDraw && f.number === 0) out.push(text((f.left + f.right) / 2, (f.top + f.bottom) / 2, 'drag here to draw your guess', 'invitation', 'middle'));
  return out;
}

/** A place on the axis of names, in pixels. */
function slotOf(f, i, count) {
  const [from, to] = f.inRows ? [f.top, f.bottom] : [f.left, f.right];
  const size = (to - from) / count;
  return { from: from + i * size, size, middle: from + (i + 0.5) * size };
}

function drawBar(f, bar, slot, kind, number, isDone) {
  const share = Math.max(0, f.y.place(bar.height) || 0), thick = Math.min(slot.size * 0.92, 40);
  const value = bar.height > 0 || isDone && f.y.low === 0 ? figure(bar.height) : '';
  if (f.inRows) {
    const end = f.left + share * (f.right - f.left);
    return [svg('rect', { x: f.left, y: slot.middle - thick / 2, width: end - f.left, height: thick, rx: 3, class: kind }),
      text(end + 7, slot.middle + 4, value, 'bar-value'),
      number >= 0 && end - f.left > 30 ? badge(end - 12, slot.middle, number, `${kind} on-bar`) : null];
  }

  const top = f.bottom - share * (f.bottom - f.top);
  return [svg('rect', { x: slot.middle - thick / 2, y: top, width: thick, height: f.bottom - top, rx: 3, class: kind }),
    text(slot.middle, top - 6, value, 'bar-value', 'middle'),
    number >= 0 && f.bottom - top > 30 ? badge(slot.middle, f.bottom - 13, number, `${kind} on-bar`) : null];
}

function tickAcross(f, slot, share, kind) {
  const half = slot.size * 0.45;
  if (f.inRows) {
    const x = f.left + share * (f.right - f.left);
    return line(x, slot.middle - half, x, slot.middle + half, kind);
  }
  const y = f.bottom - share * (f.bottom - f.top);
  return line(slot.middle - half, y, slot.middle + half, y, kind);
}

/** A band goes over the bars from a place to a place, both counted from 0. */
function drawBarBand(f, band) {
  const count = barNames(f.panel).length, [from, to] = f.inRows ? [f.top, f.bottom] : [f.left, f.right];
  const place = (v) => from + Math.min(1, Math.max(0, v / count)) * (to - from);
  const a = place(band.from), b = place(band.to);
  return f.inRows
    ? svg('g', {}, svg('rect', { x: f.left, y: a, width: f.right - f.left, height: b - a, class: 'band' }), text(f.right, a + 14, cut(band.name, f.right - f.left), 'band-name', 'end'))
    : svg('g', {}, svg('rect', { x: a, y: f.top, width: b - a, height: f.bottom - f.top, class: 'band' }), text((a + b) / 2, f.top + 14, cut(band.name, b - a), 'band-name', 'middle'));
}

function drawBarLimit(f, limit) {
  const at = f.py(limit.at);
  if (!Number.isFinite(at)) return [];
  const words = cut(limit.name, f.right - f.left);
  return f.inRows
    ? [line(at, f.top, at, f.bottom, 'limit'), text(Math.max(at, f.left + textWidth(words)), f.top - 6, words, 'limit-name', 'end')]
    : [line(f.left, at, f.right, at, 'limit'), text(f.right, at - 5, words, 'limit-name', 'end')];
}
