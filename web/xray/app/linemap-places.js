// Where stations, lines, their figures and the water lie, for a width of the
// map: wide, as on a desk, or tall, as on a phone. Lines are level or at 45
// degrees; upright pieces are of the tall map only.
import { levelThenOblique, pathOf } from './linemap-geometry.js';

/**
 * @typedef {import('./linemap-geometry.js').Point} Point
 * @typedef {'start' | 'middle' | 'end'} Anchor
 * @typedef {{x: number, y: number, anchor: Anchor}} TextPlace
 * @typedef {object} StationPlace
 * @property {number} x @property {number} y of its middle
 * @property {number} w @property {number} h
 * @property {'ring' | 'capsule' | 'phone'} shape
 * @property {TextPlace} label
 * @property {TextPlace} count of what waits
 * @typedef {object} LinePlace
 * @property {string} id @property {string} from @property {string} to @property {string} mechanism
 * @property {Point[]} points
 * @property {Point} disc of its letter
 * @property {TextPlace} rate
 * @property {TextPlace | null} times null: behind the rate, in one line
 * @typedef {object} Places
 * @property {number} width @property {number} height
 * @property {boolean} isTall @property {boolean} hasTimes
 * @property {Record<string, StationPlace>} stations
 * @property {LinePlace[]} lines
 * @property {string[]} water paths of the middle of each river
 * @property {TextPlace | null} home of the words that name this node
 * @property {TextPlace | null} note of the words that explain the figures
 */

/** From this width on, the map is wide. */
export const wideFrom = 1200;

/** From this width on, a tall map shows the times below its rates. */
const timesFrom = 640;

/** @param {number} width of the map in pixels @returns {Places} */
export const placesFor = (width) => (width >= wideFrom ? widePlaces(width) : tallPlaces(Math.max(300, width)));

/** @returns {TextPlace} */
const at = (/** @type {number} */ x, /** @type {number} */ y, /** @type {Anchor} */ anchor = 'start') => ({ x, y, anchor });

/** @param {number} x @param {number} y @param {'ring' | 'capsule' | 'phone'} shape @param {number} w @param {number} h
 * @param {TextPlace} label @param {TextPlace} count @returns {StationPlace} */
const station = (x, y, shape, w, h, label, count) => ({ x, y, shape, w, h, label, count });

/**
 * @param {string} id from-to:mechanism @param {Point[]} points @param {Point} disc
 * @param {TextPlace} rate @param {TextPlace | null} times @returns {LinePlace}
 */
function line(id, points, disc, rate, times) {
  const [ends, mechanism] = id.split(':'), [from, to] = ends.split('-');
  return { id, from, to, mechanism, points, disc, rate, times };
}

/** A level line's figures: the rate above it, the times below it. @param {Point} disc @returns {[Point, TextPlace, TextPlace]} */
const aboveAndBelow = (disc) => [disc, at(disc[0] + 13, disc[1] - 8), at(disc[0] + 13, disc[1] + 17)];

/** The lower of two level lines: all figures below it. @param {Point} disc @returns {[Point, TextPlace, null]} */
const below = (disc) => [disc, at(disc[0] + 13, disc[1] + 18), null];

const leftPart = 344, rightMargin = 94, drawnFor = 1440, widest = 1760;

/** @param {number} width @returns {Places} */
function widePlaces(width) {
  // The phones' part keeps its width, the rest takes what there is.
  const used = Math.min(width, widest), stretch = (used - leftPart - rightMargin) / (drawnFor - leftPart - rightMargin);
  const margin = Math.round((width - used) / 2);
  const X = (/** @type {number} */ x) => Math.round(margin + (x <= leftPart ? x : leftPart + (x - leftPart) * stretch));
  const phones = X(96), gateway = X(344), middle = X(560), right = X(800), redis = X(1056), queue = X(1138), far = X(1346);
  const top = 102, mid = 164, low = 278, relayed = 168, jobs = 284;
  const above = (/** @type {number} */ x, /** @type {number} */ y) => at(x, y - 19, 'middle');
  const under = (/** @type {number} */ x, /** @type {number} */ y) => at(x, y, 'middle');
  return {
    width, height: 333, isTall: false, hasTimes: true,
    stations: {
      rider_phone: station(phones, top, 'phone', 17, 27, at(X(32), 81), at(phones + 62, 81)),
      driver_phone: station(phones, low, 'phone', 17, 27, at(X(32), 307), at(X(138), 307)),
      gateway: station(gateway, 184, 'capsule', 20, 58, at(gateway + 4, 146, 'end'), under(gateway, 229)),
      memory: station(middle, top, 'ring', 18, 18, above(middle, top), under(middle, 126)),
      dispatch: station(right, top, 'ring', 18, 18, above(right, top), at(right + 8, 134)),
      routing: station(middle, mid, 'ring', 18, 18, above(middle, mid), under(middle, 194)),
      store: station(middle, low, 'ring', 18, 18, under(middle, 311), under(middle, 326)),
      outbox: station(right, low, 'capsule', 20, 38, under(right, 313), under(right, 328)),
      redis: station(redis, relayed, 'capsule', 20, 42, under(redis, 205), under(redis, 220)),
      node: station(far, relayed, 'capsule', 20, 34, at(far, 142, 'middle'), at(far + 16, 172)),
      queue: station(queue, jobs, 'ring', 18, 18, under(queue, 309), under(queue, 324)),
      provider: station(far, jobs, 'ring', 18, 18, under(far, 309), under(far, 324)),
    },
    lines: [
      line('rider_phone-gateway:socket', levelThenOblique([phones, top], [gateway, 176], gateway - 126), ...aboveAndBelow([phones + 26, top])),
      line('driver_phone-gateway:socket', levelThenOblique([phones, low], [gateway, 196], gateway - 130), ...aboveAndBelow([phones + 26, low])),
      line('gateway-memory:memory', [[gateway + 4, 160], [gateway + 62, top], [middle, top]], ...aboveAndBelow([gateway + 88, top])),
      line('memory-dispatch:memory', [[middle, top], [right, top]], ...aboveAndBelow([X(632), top])),
      line('gateway-routing:rpc', [[gateway, mid], [middle, mid]], ...aboveAndBelow([gateway + 88, mid])),
      line('routing-dispatch:rpc', [[middle, mid], [right - mid + top, mid], [right, top]], ...aboveAndBelow([X(632), mid])),
      line('gateway-store:database', [[gateway + 4, 210], [gateway + 72, low], [middle, low]], ...aboveAndBelow([gateway + 88, low])),
      line('store-outbox:database', [[middle, low], [right, low]], ...aboveAndBelow([X(632), low])),
      line('dispatch-redis:direct', levelThenOblique([right, top], [redis, 160], X(1012) - 58), ...aboveAndBelow([X(838), top])),
      line('outbox-redis:pubsub', levelThenOblique([right, 272], [redis, 176], redis - 100), [X(826), 272], at(X(826) + 13, 249), at(X(826) + 13, 263)),
      line('outbox-queue:queue', [[right, jobs], [queue, jobs]], ...below([X(858), jobs])),
      line('redis-node:pubsub', [[redis, 162], [far, 162]], [X(1084), 162], at(X(1084) + 13, 154), null),
      line('redis-node:direct', [[redis, 174], [far, 174]], ...below([X(1102), 174])),
      line('queue-provider:rpc', [[queue, jobs], [far, jobs]], ...aboveAndBelow([X(1166), jobs])),
    ],
    water: [
      pathOf([[X(272), -10], [X(272), 84], [X(250), 106], [X(250), 270], [X(228), 292], [X(228), 350]]),
      pathOf([[X(1022), -10], [X(1022), 222], [X(1000), 244], [X(1000), 350]]),
      pathOf([[X(1260), -10], [X(1260), 134], [X(1282), 156], [X(1282), 216], [X(1260), 238], [X(1260), 350]]),
    ],
    home: at(X(742), 226, 'middle'), note: at(X(32), 326),
  };
}

/** @param {number} width @returns {Places} */
function tallPlaces(width) {
  const hasTimes = width >= timesFrom, left = 40, centre = Math.round(width / 2), right = width - 40, provider = centre + 45, phones = 86;
  const [gateway, row, routing, low, redis, far] = hasTimes ? [146, 206, 262, 318, 392, 462] : [132, 176, 192, 246, 298, 352];
  const second = Math.round((redis + far) / 2) + 2, toDispatch = low - routing - 14, toRedis = redis - low;
  /** @type {(a: Point, b: Point) => [Point, TextPlace, TextPlace]} */
  const level = (disc, rate) => [disc, at(rate[0], rate[1], 'middle'), at(rate[0], disc[1] + 17, 'middle')];
  /** @type {(x: number, y: number, side: number) => [Point, TextPlace, TextPlace]} */
  const upright = (x, y, side) => [[x, y], at(x + side * 14, y + 4, side > 0 ? 'start' : 'end'), at(x + side * 14, y + 18, side > 0 ? 'start' : 'end')];
  return {
    width, height: far + 46, isTall: true, hasTimes,
    stations: {
      rider_phone: station(left, phones, 'phone', 15, 26, at(20, 64), at(20, 116)),
      driver_phone: station(right, phones, 'phone', 15, 26, at(width - 20, 64, 'end'), at(width - 20, 116, 'end')),
      gateway: station(centre, gateway, 'capsule', 46, 16, at(centre, gateway - 14, 'middle'), at(centre + 30, gateway + 4)),
      memory: station(left, row, 'ring', 15, 15, at(54, row + (hasTimes ? 34 : 20)), at(54, row + 34)),
      routing: station(centre, routing, 'ring', 15, 15, at(centre + 14, routing + 4), at(centre + 14, routing + 19)),
      store: station(right, row, 'ring', 15, 15, at(right - 14, row + (hasTimes ? 34 : 20), 'end'), at(right - 14, row + 34, 'end')),
      dispatch: station(left, low, 'ring', 15, 15, at(54, low - 14), at(54, low + 18)),
      outbox: station(right, low, 'capsule', 24, 16, at(right - 20, low + 5, 'end'), at(right - 20, low - 11, 'end')),
      redis: station(centre, redis, 'capsule', 36, 16, at(centre + 18, redis + 22), at(centre + 66, redis + 22)),
      node: station(left, far + 2, 'capsule', 16, 26, at(24, far + 29), at(100, far + 29)),
      queue: station(right, far, 'ring', 15, 15, at(right + 16, far + 24, 'end'), at(right + 16, far + 39, 'end')),
      provider: station(provider, far, 'ring', 15, 15, at(provider, far + 24, 'middle'), at(provider, far + 39, 'middle')),
    },
    lines: [
      line('rider_phone-gateway:socket', levelThenOblique([left, phones], [centre - 14, gateway - 4], centre - 10 - gateway + phones), ...level([66, phones], [96, phones - 7])),
      line('driver_phone-gateway:socket', levelThenOblique([right, phones], [centre + 14, gateway - 4], centre + 10 + gateway - phones), ...level([width - 66, phones], [width - 104, phones - 7])),
      line('gateway-memory:memory', [[centre - 18, gateway + 4], [centre - 14 - row + gateway, row], [left, row]], ...level([76, row], [106, row - 8])),
      line('memory-dispatch:memory', [[left, row], [left, low]], ...upright(left, Math.round((row + low) / 2) + (hasTimes ? -4 : 1), 1)),
      line('gateway-routing:rpc', [[centre, gateway], [centre, routing]], ...upright(centre, hasTimes ? row + 16 : 165, -1)),
      line('routing-dispatch:rpc', [[centre, routing], [centre, routing + 14], [centre - toDispatch, low], [left, low]], ...level([hasTimes ? 160 : 104, low], [hasTimes ? 194 : 138, low - 8])),
      line('gateway-store:database', [[centre + 18, gateway + 4], [centre + 14 + row - gateway, row], [right, row]], ...level([width - (hasTimes ? 132 : 98), row], [width - (hasTimes ? 102 : 72), row - 8])),
      line('store-outbox:database', [[right, row], [right, low]], ...upright(right, Math.round((row + low) / 2) + 1, -1)),
      line('dispatch-redis:direct', [[left, low], [left + toRedis, redis], [centre, redis]], ...level([left + toRedis + (hasTimes ? 60 : 26), redis], [left + toRedis + (hasTimes ? 60 : 26), redis - 11])),
      line('outbox-redis:pubsub', [[right, low], [right - toRedis, redis], [centre, redis]], ...level([right - toRedis - (hasTimes ? 60 : 26), redis], [right - toRedis - (hasTimes ? 60 : 30), redis - 11])),
      line('outbox-queue:queue', [[right, low], [right, far]], ...upright(right, hasTimes ? far - 54 : far - 22, -1)),
      line('redis-node:pubsub', [[centre - 6, redis + 4], [centre - 2 + redis - far, far], [left, far]], [84, far], at(102, far - 8), null),
      line('redis-node:direct', [[centre + 6, redis], [centre + 6, redis + 12], [centre + 10 + redis - far, far + 8], [left, far + 8]], [112, far + 8], at(126, far + 26), null),
      line('queue-provider:rpc', [[right, far], [provider, far]], ...level([Math.round((right + provider) / 2), far], [Math.round((right + provider) / 2) - 11, far - 10])),
    ],
    water: [
      pathOf([[-10, phones + 18], [56, phones + 18], [66, phones + 28], [width - 66, phones + 28], [width - 56, phones + 18], [width + 10, phones + 18]]),
      pathOf([[-10, low + 26], [width + 10, low + 26]]),
      pathOf([[-10, second], [centre - 54, second], [centre - 44, second + 10], [centre + 44, second + 10], [centre + 54, second], [width + 10, second]]),
    ],
    home: null, note: null,
  };
}
