// The address of a run: /lab/NAME?guess=B&KNOB=VALUE&seed=7. Knobs at their
// defaults are left out.

export const breakName = 'break';
export const defaultSeed = '1';

const letters = 'ABCD';

/** The settings of an experiment that no person has touched. */
export function emptyForm(experiment) {
  return { guess: '', skipped: false, drawn: null, seed: defaultSeed, knobs: defaultKnobs(experiment) };
}

export function defaultKnobs(experiment) {
  return Object.fromEntries((experiment?.knobs ?? []).map((k) => [k.name, k.choices ? k.choices[0] : String(k.default)]));
}

/**
 * Reads an address. Unknown names and knobs are left out; a value that the
 * server would not take stays in, so that the server can say what it made of it.
 */
export function readLink(path, search, experiments) {
  const name = decodeURIComponent(path.replace(/^\/lab\/?/, '').replace(/\/$/, ''));
  if (name === breakName) return { name, experiment: null, form: emptyForm(null) };
  const experiment = experiments.find((e) => e.name === name);
  if (!experiment) return { name: '', unknown: name, experiment: null, form: emptyForm(null) };

  const query = new URLSearchParams(search), form = emptyForm(experiment);
  const guess = (query.get('guess') ?? '').toUpperCase();
  if (guess.length === 1 && letters.indexOf(guess) >= 0 && letters.indexOf(guess) < experiment.options.length) form.guess = guess;
  if (/^\d{1,20}$/.test(query.get('seed') ?? '')) form.seed = query.get('seed');
  for (const k of experiment.knobs) if (query.has(k.name)) form.knobs[k.name] = query.get(k.name);
  return { name, experiment, form };
}

export function writeLink(experiment, form) {
  const query = new URLSearchParams(), defaults = defaultKnobs(experiment);
  if (form.guess) query.set('guess', form.guess);
  for (const k of experiment.knobs) if (form.knobs[k.name] !== defaults[k.name]) query.set(k.name, form.knobs[k.name]);
  query.set('seed', form.seed);
  return `/lab/${encodeURIComponent(experiment.name)}?${query}`;
}
