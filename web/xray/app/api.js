// What the page asks of the node that serves it. A ride is shown to its two
// people: on the public API the page tries the tokens that this browser may use.

/** A refusal in the server's words. */
export class Refusal extends Error {
  /** @param {string} says @param {string} [code] @param {number} [status] */
  constructor(says, code = '', status = 0) {
    super(says);
    this.code = code;
    this.status = status;
  }
}

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options = {}) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new Refusal('The node does not answer.', 'unreachable');
  }
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refusal(problem.detail ?? problem.title ?? `The node answered ${response.status}.`, problem.code ?? '', response.status);
}

/** Where the rider's page leaves its token for this tab, and who it is. */
const tokenKey = 'ridehail.token', riderKey = 'ridehail.rider';

/** @param {'sessionStorage'|'localStorage'} where @param {string} key */
function stored(where, key) {
  try {
    return window[where].getItem(key) ?? '';
  } catch {
    return ''; // storage is off
  }
}

/** A token of the development issuer; empty where there is none. @param {string} id @param {string} [role] */
async function devToken(id, role = 'rider') {
  if (!id) return '';
  const answer = await ask('/v1/dev/tokens', { method: 'POST', body: JSON.stringify({ role, id }), headers: { 'Content-Type': 'application/json' } }).catch(() => null);
  return answer?.token ?? '';
}

/** @typedef {{id: string, rider?: string, driver?: string}} People who may see a trip, as far as the list says */

export class API {
  constructor() {
    /** @type {Map<string, string>} the token that a trip was shown for; empty for none */
    this.tokens = new Map();
    /** @type {Map<string, People>} */
    this.people = new Map();
  }

  /** The trips that are kept, newest first. */
  async list() {
    const { trips } = await ask('/v1/xray');
    for (const t of trips ?? []) this.people.set(t.id, t);
    return trips ?? [];
  }

  median() {
    return ask('/v1/xray/median');
  }

  /** @param {string} trip */
  async ride(trip) {
    const known = this.tokens.get(trip);
    if (known !== undefined) {
      try {
        return await this.#rideAs(trip, known);
      } catch (refusal) {
        if (/** @type {Refusal} */ (refusal).status !== 401) throw refusal;
        this.tokens.delete(trip);
      }
    }
    return this.#rideOfSomeone(trip);
  }

  /** Tries in turn: no token, that of the rider's page, and those of development. @param {string} trip */
  async #rideOfSomeone(trip) {
    const who = this.people.get(trip);
    const ways = [async () => '', async () => stored('sessionStorage', tokenKey), () => devToken(who?.rider ?? ''), () => devToken(stored('localStorage', riderKey))];
    /** @type {any} */
    let refusal = null;
    for (const [i, way] of ways.entries()) {
      const token = await way();
      if (!token && i > 0) continue;
      try {
        const ride = await this.#rideAs(trip, token);
        this.tokens.set(trip, token);
        return ride;
      } catch (err) {
        if (![401, 403, 404].includes(/** @type {Refusal} */ (err).status)) throw err;
        if (!refusal || refusal.status === 401 || refusal.code === 'trip_not_found') refusal = err;
      }
    }
    throw refusal;
  }

  /** @param {string} trip @param {string} token */
  #rideAs(trip, token) {
    return ask(`/v1/xray/${encodeURIComponent(trip)}`, token ? { headers: { Authorization: `Bearer ${token}` } } : {});
  }
}
