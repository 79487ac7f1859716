// Axes: from values to places and back. They follow internal/plot, so that the
// page and the pictures of the command show the same.

/** The least 1, 2 or 5 times a power of ten that is not below `least`. */
export function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((nice) => nice * power >= least * (1 - 1e-9)) ?? 10);
}

/**
 * A scale that holds all values. `place` gives 0 to 1, or NaN for a value that a
 * logarithmic axis cannot show; `value` is its inverse. An axis whose end is
 * fixed keeps it, so that nothing jumps when points come.
 */
export function makeScale(axis, values = [], mostTicks = 6) {
  return axis.log ? logScale(axis, values, mostTicks) : linearScale(axis, values, mostTicks);
}

function linearScale(axis, values, mostTicks) {
  const data = Math.max(0, ...values.filter(Number.isFinite));
  const fixed = axis.end ?? 0;
  let high = Math.max(fixed, data) || 1;
  const step = niceStep(high / mostTicks);
  if (data > fixed) high = step * Math.ceil(high / step - 1e-9);

  const ticks = [];
  for (let i = 0; i * step <= high * (1 + 1e-9); i++) ticks.push(round(i * step));
  return { low: 0, high, ticks, place: (v) => v / high, value: (at) => at * high };
}

function logScale(axis, values, mostTicks) {
  const shown = values.filter((v) => v > 0 && Number.isFinite(v));
  const least = axis.start > 0 ? axis.start : Math.min(...shown, axis.end > 0 ? axis.end : Infinity);
  const most = Math.max(axis.end > 0 ? axis.end : 0, ...shown);
  const low = Number.isFinite(least) ? Math.floor(Math.log10(least) + 1e-9) : 0;
  const high = Math.max(low + 1, most > 0 ? Math.ceil(Math.log10(most) - 1e-9) : 1);

  const every = Math.ceil((high - low + 1) / (mostTicks + 2)), ticks = [];
  for (let power = low; power <= high; power += every) ticks.push(Number(`1e${power}`));
  return {
    low: 10 ** low, high: 10 ** high, ticks,
    place: (v) => (v > 0 ? (Math.log10(v) - low) / (high - low) : NaN),
    value: (at) => 10 ** (low + at * (high - low)),
  };
}

const round = (v) => Math.round(v * 1e9) / 1e9;

/** A number in at most three digits or so: 0.02, 7.8, 1,200, 2.4 million. */
export function figure(v) {
  if (!Number.isFinite(v)) return '–';
  const size = Math.abs(v);
  if (size >= 1e9) return `${trim(v / 1e9)} billion`;
  if (size >= 1e6) return `${trim(v / 1e6)} million`;
  if (size >= 1000) return Math.round(v).toLocaleString('en');
  if (size > 0 && size < 0.001) return v.toExponential(1);
  return trim(v);
}

const trim = (v) => String(Number(v.toPrecision(3)));

/** A tick's label: short, and exact. */
export function tickLabel(v) {
  const size = Math.abs(v);
  if (size >= 1e6) return `${round(v / 1e6)}M`;
  if (size >= 1e4) return `${round(v / 1e3)}k`;
  if (size > 0 && size < 0.001) return v.toExponential(0);
  return String(round(v));
}

/** A range input's place (0 to 1000) for a knob's value, and back. */
export function knobPlace(knob, value) {
  const share = knob.log && knob.low > 0
    ? Math.log(value / knob.low) / Math.log(knob.high / knob.low)
    : (value - knob.low) / (knob.high - knob.low);
  return Math.round(1000 * Math.min(1, Math.max(0, share)));
}

export function knobValue(knob, place) {
  const share = place / 1000;
  let value = knob.log && knob.low > 0
    ? Number((knob.low * (knob.high / knob.low) ** share).toPrecision(2))
    : knob.low + share * (knob.high - knob.low);
  const step = knob.step || (knob.high - knob.low) / 100;
  if (!knob.log || knob.step >= 1) value = knob.low + Math.round((value - knob.low) / step) * step;
  return round(Math.min(knob.high, Math.max(knob.low, value)));
}

/** The next value of a knob by a key: at least one step, at least one place. */
export function knobStep(knob, value, direction) {
  if (!knob.log) return knobValue(knob, knobPlace(knob, round(value + direction * (knob.step || (knob.high - knob.low) / 100))));
  for (let place = knobPlace(knob, value) + direction; place >= 0 && place <= 1000; place += direction) {
    const next = knobValue(knob, place);
    if ((next - value) * direction > 0) return next;
  }
  return direction > 0 ? knob.high : knob.low;
}

export function knobText(knob, value) {
  return knob.choices ? String(value) : `${Number(value).toLocaleString('en', { maximumFractionDigits: 6 })} ${knob.unit ?? ''}`.trim();
}
