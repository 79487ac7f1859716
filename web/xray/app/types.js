// The shapes that the modules share. A ride and a median are what the node's
// GET /v1/xray/{trip} and GET /v1/xray/median answer. Times are microseconds.

/**
 * @typedef {object} Hop
 * @property {string} name
 * @property {string} mechanism
 * @property {string} from
 * @property {string} to
 * @property {string} [node]
 * @property {number} began_us from its phase's zero
 * @property {number} duration_us
 * @property {number} own_us what no later hop covers
 * @property {number} doubt_us
 * @property {number} [bytes]
 * @property {boolean} sync
 * @property {number} [batch]
 * @property {boolean} expected
 * @property {boolean} seen
 * @property {boolean} [repeated]
 * @property {string} [reason]
 * @property {string} [code]
 * @property {boolean} [failed]
 * @property {string} wait
 * @property {string} [key]
 * @property {string} [cause]
 * @property {string} [source]
 * @property {string} [frame]
 * @property {string} what
 * @property {string} [may_lose]
 * @property {string} [mended_by]
 * @property {string} [experiment]
 */

/**
 * @typedef {object} Phase
 * @property {string} name
 * @property {number} [nth]
 * @property {number} began_at Unix milliseconds
 * @property {number} duration_us
 * @property {number} unknown_us
 * @property {number} gap_us
 * @property {string} [gap_wait]
 * @property {string} [gap_what]
 * @property {string} [batch_note]
 * @property {Hop[]} hops
 */

/**
 * @typedef {object} Ride
 * @property {string} trip
 * @property {string} state
 * @property {string} from
 * @property {string} to
 * @property {number} requested_at_ms
 * @property {{name: string, hops: number, doubt_us: number, missing: boolean}[]} nodes
 * @property {boolean} complete
 * @property {Phase[]} phases
 * @property {Record<string, number>} waited_us
 * @property {number} duration_us
 * @property {number} clock_doubt_us
 */

/** @typedef {{name: string, from: string, to: string, began_us: number, duration_us: number, samples: number[]}} MedianHop */
/** @typedef {{name: string, duration_us: number, hops: MedianHop[]}} MedianPhase */
/** @typedef {{trips: number, phases: MedianPhase[]}} Median */

/**
 * A row's place in the tree: one phase, or phases of one shape of which one is
 * picked.
 * @typedef {object} Group
 * @property {string} id the same after each reload
 * @property {Phase[]} members
 * @property {number} picked index of the member that is shown
 * @property {Phase} phase the picked member
 */

/** @typedef {{wait: string|null, slow: boolean, waits: boolean, unseen: boolean}} Filter */
/** @typedef {{kind: 'phase', id: string, group: Group, isOpen: boolean, shown: number, total: number}} PhaseRow */
/** @typedef {{kind: 'hop', id: string, group: Group, hop: Hop, index: number}} HopRow */
/** @typedef {PhaseRow | HopRow} Row */

export {};
