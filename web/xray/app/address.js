// The address of a view: ?trip=ID&hop=N, with N the hop's number in the trip.

/** @param {string} search */
export function readAddress(search) {
  const query = new URLSearchParams(search), hop = Number(query.get('hop'));
  return { trip: query.get('trip') ?? '', hop: Number.isInteger(hop) && hop > 0 ? hop : 0 };
}

/** @param {string} trip @param {number} hop */
export function writeAddress(trip, hop) {
  const query = new URLSearchParams({ trip });
  if (hop > 0) query.set('hop', String(hop));
  return `/xray?${query}`;
}
