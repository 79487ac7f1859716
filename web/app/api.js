// The node's HTTP doors, and who we are. Every refusal becomes a Problem with words for a person.

import { point } from './geo.js';

/** A refusal in words: problem+json from the node, or the network's own failure. */
export class Problem extends Error {
  constructor({ title, detail, code, status }) {
    super(detail || title || 'Something went wrong. Please try again.');
    this.code = code ?? '';
    this.status = status ?? 0;
  }
}

/** An id nobody else has. Works without a secure context, where crypto.randomUUID is missing. */
export function newID(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return prefix + btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}

/** This browser's rider, the same after a reload. */
export function riderID(storage = localStorage) {
  let id = storage.getItem('ridehail.rider');
  if (!id) {
    id = newID('rider-web-');
    storage.setItem('ridehail.rider', id);
  }
  return id;
}

export class API {
  constructor(id, base = '') {
    this.id = id;
    this.base = base;
    this.token = '';
  }

  /** Asks the development issuer for a token. */
  async renew() {
    const answer = await this.#call('POST', '/v1/dev/tokens', { role: 'rider', id: this.id });
    this.token = answer.token;
    leaveToken(this.token);
    return this.token;
  }

  /** How to draw the city: {name, bounds, attribution, geojson, tiles}. */
  plan() {
    return this.#call('GET', '/v1/map');
  }

  /** The city as GeoJSON, from where the plan says. */
  city(plan) {
    return this.#call('GET', plan.geojson);
  }

  /** Where rides cost more just now, as GeoJSON hexagons; none on a server that does not know surge. */
  async surge() {
    try {
      return await this.#call('GET', '/v1/surge');
    } catch (problem) {
      if (problem.status === 404) return { type: 'FeatureCollection', features: [] };
      throw problem;
    }
  }

  async quote(pickup, dropoff) {
    const q = await this.#call('POST', '/v1/quotes', { pickup, dropoff });
    const faster = q.time_scale ?? 1; // seconds of a simulated city that pass in one of ours
    return {
      metres: q.distance_m ?? 0,
      seconds: (q.duration_s ?? 0) / faster,
      fare: q.fare,
      straight: q.route_source === 'straight_line',
      pickupSeconds: q.pickup_s === undefined ? null : q.pickup_s / faster,
      path: q.path ?? null,
      token: q.quote ?? '',
      surge: q.surge ?? 1,
      endsMs: Date.parse(q.expires_at ?? '') || 0, // by the node's clock; 0 when it did not say
    };
  }

  trip(id) {
    return this.#call('GET', `/v1/trips/${encodeURIComponent(id)}`);
  }

  async chat(id, after) {
    const answer = await this.#call('GET', `/v1/trips/${encodeURIComponent(id)}/chat?after=${after}`);
    return Array.isArray(answer) ? answer : answer.messages ?? [];
  }

  async receipt(tripID) {
    const answer = await this.#call('GET', '/v1/receipts');
    const all = Array.isArray(answer) ? answer : answer.receipts ?? [];
    return all.find((r) => r.trip_id === tripID) ?? null;
  }

  async #call(method, path, body, again = true) {
    const headers = { Accept: 'application/json' };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await reach(this.base + path, { method, headers, body: body && JSON.stringify(body) });
    if (answer.status === 401 && again && !path.startsWith('/v1/dev/')) {
      await this.renew();
      return this.#call(method, path, body, false);
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer.json();
  }
}

/** Leaves the token to the X-ray of this tab's ride. */
function leaveToken(token) {
  try {
    sessionStorage.setItem('ridehail.token', token);
  } catch { /* storage is off: that page asks for a token itself */ }
}

async function reach(url, request) {
  try {
    return await fetch(url, { ...request, signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new Problem({ detail: 'The server cannot be reached. Check your connection and try again.', code: 'unreachable' });
  }
}

async function problemOf(answer) {
  const told = await answer.json().catch(() => ({}));
  return new Problem({ title: `The server answered ${answer.status}.`, ...told, status: answer.status });
}

/** A trip from either door, with the zeros that protobuf JSON leaves out. */
export function readTrip(t) {
  return {
    id: t.id, state: t.state, version: t.version ?? 0, driver: t.driver_id ?? '',
    pickup: point(t.pickup), dropoff: point(t.dropoff),
    metres: t.distance_m ?? 0, seconds: t.duration_s ?? 0, fare: t.fare ?? null,
    straight: t.route_source === 'straight_line', reason: t.end_reason ?? '',
    requestedMs: t.requested_ms ?? 0, startedMs: t.started_ms ?? 0, endedMs: t.ended_ms ?? 0,
  };
}
