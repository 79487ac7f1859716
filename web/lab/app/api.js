// What the page asks of the node that serves it.
import { eventReader } from './sse.js';

/** A refusal in the server's words. `wait` is in seconds, where waiting helps. */
export class Refusal extends Error {
  constructor(says, code = '', wait = 0) {
    super(says);
    this.code = code;
    this.wait = wait;
  }
}

async function refuse(response) {
  const problem = await response.json().catch(() => ({}));
  const wait = response.status === 409 ? Math.max(1, Number(response.headers.get('Retry-After')) || 1) : 0;
  throw new Refusal(problem.detail ?? `The node answered ${response.status}.`, problem.code, wait);
}

async function send(url, options) {
  try {
    return await fetch(url, options);
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Refusal('The node does not answer. Is the demo still running?');
  }
}

async function getJSON(url) {
  const response = await send(url, { headers: { Accept: 'application/json' } });
  if (!response.ok) await refuse(response);
  return response.json();
}

export const getExperiments = () => getJSON('/lab/api/experiments');

export const getFrame = (name, knobs) => getJSON(`/lab/api/experiments/${encodeURIComponent(name)}/frame?${new URLSearchParams(knobs)}`);

/** Asks for a run to stop. Its stream then ends with the event stopped. */
export const stopRun = (run) => send(`/lab/api/runs/${encodeURIComponent(run)}`, { method: 'DELETE' }).catch(() => {});

/**
 * Runs an experiment and calls onEvent(name, data) for each event. It returns
 * when the stream ends, and throws a Refusal when nothing was started or the
 * stream broke off. Aborting the signal stops the run.
 */
export async function runExperiment(asked, onEvent, signal) {
  const response = await send('/lab/api/runs', {
    method: 'POST', body: JSON.stringify(asked), headers: { 'Content-Type': 'application/json' }, signal,
  });
  if (!response.ok) await refuse(response);

  const read = eventReader(), pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let hasEnded = false;
  for (;;) {
    const { done, value } = await pieces.read().catch((err) => {
      if (err.name === 'AbortError') throw err;
      return { done: true };
    });
    if (done) break;
    for (const { name, data } of read(value)) {
      hasEnded ||= ['result', 'stopped', 'error'].includes(name);
      onEvent(name, JSON.parse(data));
    }
  }
  if (!hasEnded) throw new Refusal('The line to the node broke off, so the run was stopped.');
}
