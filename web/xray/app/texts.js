// The page's words.

export const parts = {
  rider_phone: 'Phone (rider)', driver_phone: 'Phone (driver)', gateway: 'Gateway', memory: 'Memory', dispatch: 'Dispatch',
  routing: 'Routing', store: 'Store', outbox: 'Outbox', redis: 'Redis', node: 'Node', queue: 'Queue', provider: 'Provider',
};

/** Where there is little room. */
export const shortParts = { ...parts, rider_phone: 'Rider', driver_phone: 'Driver' };

export const mechanisms = {
  socket: 'Socket', memory: 'Shared memory', rpc: 'RPC', pubsub: 'Publish/subscribe', direct: 'Direct message',
  queue: 'Queue', database: 'Database', code: 'Code', person: 'A person',
};

export const letters = { socket: 'S', memory: 'M', rpc: 'R', pubsub: 'P', direct: 'D', queue: 'Q', database: 'B', code: 'C', person: 'H' };

export const phases = {
  quote: 'Quote', request: 'Request', match: 'Match', offer: 'Offer', accept: 'Accept', position: 'Position', arrive: 'Arrive',
  start: 'Start', complete: 'Complete', cancel: 'Cancel', charge: 'Charge', receipt: 'Receipt', chat: 'Chat', resume: 'Resume', takeover: 'Takeover',
};

export const waits = { people: 'people', queue: 'queue', network: 'network', disk: 'disk', code: 'code', unknown: 'unknown' };

/** What a hop does, in the words of the waterfall. */
export const hopWords = {
  frame_read: 'command', command_wait: 'in line', ack_written: 'answer', event_written: 'event', quote_read: 'price asked', route_call: 'the way',
  surge_read: 'how busy', quote_written: 'price', price_read: 'reads the price', commit_wait: 'waits for a commit', statement: 'commit', read_back: 'read back',
  state_read: 'what was missed', outbox_wait: 'waits for the relay', publish: 'publish', heard: 'heard', window_wait: 'waits for the window',
  look_around: 'cars of other nodes', candidates: 'nearest cars', matrix_call: 'travel times', assignment: 'pairs trips and cars', reserve: 'compare and set',
  offer_sent: 'offer', offer_heard: 'heard', offer_written: 'offer', offer_thought: 'thinks', offer_ended: 'end of the offer', fix_sent: 'fix',
  fix_moved: 'checked and stored', car_published: 'publish', car_heard: 'heard', position_written: 'position', position_acked: 'shown', job_added: 'job',
  job_wait: 'waits for a worker', provider_call: 'charge', charge_recorded: 'recorded', connection_lost: 'connection lost', welcome_written: 'welcome', taken_over: 'taken over',
  pickup_call: 'time to the pickup', http_read: 'command', http_written: 'answer', answer_sent: 'answer to the offer', answer_heard: 'heard',
  withdraw_sent: 'taken back', withdraw_heard: 'heard', node_gone: 'node is gone', budget_wait: 'waits to try again',
};

/** What a folded time is called where the ride does not say. */
export const foldWords = {
  price_read: 'rider read the price', offer_thought: 'driver thought', window_wait: 'waited for the window', command_wait: 'waited behind others',
  commit_wait: 'waited for a commit', outbox_wait: 'waited for the relay', job_wait: 'waited in the queue', taken_over: 'waited for another node',
};

/** What others shared, by the hop's name; the rest has sharedWords. */
export const batchWords = {
  statement: 'one commit, shared by # moves', publish: 'one round trip, # rows', window_wait: 'one matching window, # trips',
  candidates: 'one matching window, # trips', matrix_call: 'one call for # trips', assignment: 'one assignment of # trips',
};
export const sharedWords = 'shared by #';

export const texts = {
  title: 'One trip', besideShort: 'Beside another', besideRest: ' trip', notBeside: 'Stop comparing',
  waits: 'waits', doesNot: 'does not', doubt: 'clock doubt', noDoubt: 'one clock, no doubt',
  median: 'median of # trips', medianLater: 'median after 20 trips', hops: 'hops', filterLabel: 'Show only', summary: 'Where the time went',
  slow: 'more than 100 µs', onlyWaits: 'waits', unseen: 'not seen', nothingHere: 'no hop', phaseBefore: 'The phase before', phaseAfter: 'The next phase', tree: 'Hops of the trip, by phase',
  columns: ['Part', 'Waits', 'Time', 'Bytes', 'When'], notSeen: 'not seen', expected: 'expected, not seen',
  twoClocks: 'two clocks', newest: 'The newest', slowest: 'The slowest', faulty: 'One with a fault', medianOf: 'The median', besideMedian: 'Beside the median', recent: 'Recent trips',
  pick: 'Choose a trip', noFault: 'None of the last trips has a fault.', looking: 'Looking…', noOther: 'There is no other trip yet.',
  empty: 'No trip has ended yet. The first one appears here.', play: 'Play a ride', loading: 'Loading the trip',
  nothingLeft: 'No hop is like that. Choose fewer filters.', lookInside: 'Look inside', close: 'Close', up: 'The hop before', down: 'The next hop',
  mayLose: 'May lose', mendedBy: 'Mended by', answered: 'Answered', source: 'source:', experiment: 'experiment:', result: 'Result',
  node: 'Seen by', otherNode: 'Other node', nothing: 'nothing', copied: 'copied', copy: 'Copy', frame: 'Frame', sameHop: 'last # of this hop',
  notAll: 'One node did not answer, so hops may be missing: ', goesOn: 'goes on', tryAgain: 'Try again', ongoing: 'in progress',
};

/** What a page says when there is no ride to show, by the refusal's code. */
export const refusals = {
  unreachable: 'The node does not answer. What is here may be old.',
  not_traced: 'This trip is older than what is kept, or was not recorded.',
  trip_not_found: 'There is no such trip, or it is not yours.',
  no_list: 'This node shows trips only to the two people in them. Open one from the rider’s card: “x-ray this ride”.',
};

/** @param {string} words @param {string|number} value */
export const put = (words, value) => words.replace('#', String(value));

/** Hops whose node is another than the one that recorded them. */
const ofOthers = new Set(['look_around', 'node_gone']);

/** @typedef {{name?: string, from: string, to: string, node?: string}} Ends */

/** @param {Ends} hop @param {Record<string, string>} [names] */
export function wayOf(hop, names = parts) {
  const from = endName(hop, hop.from, names), to = endName(hop, hop.to, names);
  return from === to ? from : `${from} → ${to}`;
}

/** An end of a hop; a node by its name, where that is known. @param {Ends} hop @param {string} part @param {Record<string, string>} names */
function endName(hop, part, names) {
  if (part !== 'node') return nameIn(names, part);
  if (ofOthers.has(hop.name ?? '')) return texts.otherNode;
  return hop.node ? `${names.node} ${hop.node.replace(/^node[- ]?(?=.)/i, '')}` : names.node;
}

/** @param {Record<string, string>} names @param {string|undefined} key */
export const nameIn = (names, key) => (key !== undefined && Object.hasOwn(names, key) ? names[key] : key ?? '');
