// Distances and directions on the ground. Points are {lng, lat} in degrees.

const RAD = Math.PI / 180;
const EARTH = 6371008.8; // mean radius in metres

/** Great-circle metres between two points. */
export function metres(a, b) {
  const sLat = Math.sin(((b.lat - a.lat) * RAD) / 2);
  const sLng = Math.sin(((b.lng - a.lng) * RAD) / 2);
  const h = sLat * sLat + Math.cos(a.lat * RAD) * Math.cos(b.lat * RAD) * sLng * sLng;
  return 2 * EARTH * Math.asin(Math.sqrt(Math.min(1, h)));
}

/** The point reached from p by going so many metres in a direction (degrees clockwise from north). */
export function ahead(p, heading, distance) {
  const north = (Math.cos(heading * RAD) * distance) / EARTH / RAD;
  const east = (Math.sin(heading * RAD) * distance) / (EARTH * Math.cos(p.lat * RAD)) / RAD;
  return { lng: p.lng + east, lat: p.lat + north };
}

/** Between a and b; t from 0 to 1. */
export function between(a, b, t) {
  return { lng: a.lng + (b.lng - a.lng) * t, lat: a.lat + (b.lat - a.lat) * t };
}

/** Between two headings the short way round. */
export function turn(from, to, t) {
  const gap = ((to - from + 540) % 360) - 180;
  return (from + gap * t + 360) % 360;
}

/** The smallest box [[west, south], [east, north]] around points. */
export function box(points) {
  const lngs = points.map((p) => p.lng);
  const lats = points.map((p) => p.lat);
  return [[Math.min(...lngs), Math.min(...lats)], [Math.max(...lngs), Math.max(...lats)]];
}

/** A point as it travels: protobuf JSON leaves zeros out. */
export const point = (p) => ({ lng: p?.lng ?? 0, lat: p?.lat ?? 0 });
