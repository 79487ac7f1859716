// The map: the city drawn from its own file in a few quiet colours, with no tile, font or picture from elsewhere.

import { box } from './geo.js';
import { byID } from './dom.js';

const INK = {
  water: '#c9d8de', land: '#f3efe6', shore: '#e2dccd', park: '#d5dfc8', boundary: '#cfc6b4',
  casing: '#ded7c8', street: '#ffffff', arterial: '#ffffff', motorway: '#fbeccb', motorwayCasing: '#e3cfa0',
  bridge: '#b9c3c6', label: '#7b7566', waterLabel: '#7f9aa6', way: '#1f5f7a', surge: '#d9622b',
};

const kind = (...names) => ['in', ['get', 'kind'], ['literal', names]];
const width = (stops) => ['interpolate', ['exponential', 1.6], ['zoom'], ...stops.flat()];
const WIDTHS = {
  street: [[11, 0.35], [13, 1.6], [16, 9], [18, 22]],
  arterial: [[10, 0.9], [13, 3.4], [16, 14], [18, 32]],
  motorway: [[9, 1.3], [13, 5], [16, 18], [18, 38]],
};
const wider = (stops, by) => stops.map(([zoom, w]) => [zoom, w + by]);
const isClass = (name) => name === 'street'
  ? ['!', ['in', ['get', 'class'], ['literal', ['arterial', 'motorway']]]]
  : ['==', ['get', 'class'], name];

function road(id, name, color, stops, extra = true) {
  return {
    id, type: 'line', source: 'city', filter: ['all', kind('road'), isClass(name), extra],
    layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: { 'line-color': color, 'line-width': width(stops) },
  };
}

function label(id, what, color, size, minzoom) {
  return {
    id, type: 'symbol', source: 'city', minzoom, filter: ['all', kind(what), ['has', 'name']],
    layout: {
      'text-field': ['get', 'name'], 'text-font': ['system-ui'], 'text-size': size,
      'text-letter-spacing': what === 'district' ? 0.12 : 0.04, 'text-transform': what === 'district' ? 'uppercase' : 'none',
      'text-max-width': 8, 'text-padding': 12,
    },
    paint: { 'text-color': color, 'text-halo-color': 'rgba(255,255,255,0.75)', 'text-halo-width': 1.2 },
  };
}

/** The colour's strength of a hexagon: from nothing at the usual price to all of it at three times. */
const heat = (least, most) => ['interpolate', ['linear'], ['get', 'multiplier'], 1, least, 3, most];

function layers() {
  const bridge = ['any', ['==', ['get', 'bridge'], true], ['==', ['get', 'bridge'], 1]];
  return [
    { id: 'sea', type: 'background', paint: { 'background-color': INK.water } },
    { id: 'land', type: 'fill', source: 'city', filter: kind('land'), paint: { 'fill-color': INK.land } },
    { id: 'park', type: 'fill', source: 'city', filter: kind('park'), paint: { 'fill-color': INK.park } },
    { id: 'water', type: 'fill', source: 'city', filter: kind('water'), paint: { 'fill-color': INK.water } },
    { id: 'shore', type: 'line', source: 'city', filter: kind('land'), paint: { 'line-color': INK.shore, 'line-width': 1.2 } },
    road('bridge', 'arterial', INK.bridge, wider(WIDTHS.arterial, 3.5), bridge),
    road('bridge-motorway', 'motorway', INK.bridge, wider(WIDTHS.motorway, 3.5), bridge),
    { ...road('street-casing', 'street', INK.casing, wider(WIDTHS.street, 1.2)), minzoom: 12.5 },
    road('arterial-casing', 'arterial', INK.casing, wider(WIDTHS.arterial, 1.6)),
    road('motorway-casing', 'motorway', INK.motorwayCasing, wider(WIDTHS.motorway, 1.6)),
    road('street', 'street', INK.street, WIDTHS.street),
    road('arterial', 'arterial', INK.arterial, WIDTHS.arterial),
    road('motorway', 'motorway', INK.motorway, WIDTHS.motorway),
    { id: 'surge', type: 'fill', source: 'surge', paint: { 'fill-color': INK.surge, 'fill-opacity': heat(0.06, 0.42) } },
    { id: 'surge-edge', type: 'line', source: 'surge', paint: { 'line-color': INK.surge, 'line-width': 1, 'line-opacity': heat(0.2, 0.55) } },
    { id: 'way-glow', type: 'line', source: 'way', layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: { 'line-color': '#ffffff', 'line-width': 8, 'line-opacity': 0.75 } },
    { id: 'way', type: 'line', source: 'way', filter: ['!', ['get', 'straight']],
      layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': INK.way, 'line-width': 4 } },
    { id: 'way-straight', type: 'line', source: 'way', filter: ['get', 'straight'], layout: { 'line-cap': 'round' },
      paint: { 'line-color': INK.way, 'line-width': 3, 'line-dasharray': [0.2, 2] } },
    label('water-name', 'water', INK.waterLabel, 12, 11),
    label('district-name', 'district', INK.label, 11.5, 9.5),
    { id: 'surge-name', type: 'symbol', source: 'surge', minzoom: 12, layout: {
      'text-field': ['concat', '×', ['number-format', ['get', 'multiplier'], { 'max-fraction-digits': 1 }]],
      'text-font': ['system-ui'], 'text-size': 12, 'text-padding': 6 },
    paint: { 'text-color': '#8a3a15', 'text-halo-color': 'rgba(255,255,255,0.8)', 'text-halo-width': 1.3 } },
  ];
}

/** In tiles each kind of feature has a layer of its own, of the kind's name. */
function ofTiles(all) {
  return all.map((layer) => (layer.source === 'city' ? { ...layer, 'source-layer': kindOf(layer.filter) } : layer));
}

/** The kind that a filter of kind() asks for, which may stand among others. */
function kindOf(filter) {
  return filter[0] === 'in' ? filter[2][1][0] : kindOf(filter[1]);
}

function sourceOf(plan, city) {
  if (!plan.tiles) return { type: 'geojson', data: city, tolerance: 0.2 };
  const { url, minzoom, maxzoom } = plan.tiles;
  return { type: 'vector', tiles: [location.origin + url], minzoom, maxzoom };
}

const NOTHING = { type: 'FeatureCollection', features: [] };

/**
 * Draws the city into an element. `maplibre` is the library's module, `city` the GeoJSON, or null where the plan has tiles.
 * Resolves once the first picture is complete.
 */
export async function drawMap(maplibre, container, plan, city) {
  const reduced = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const map = new maplibre.Map({
    container,
    style: { version: 8, sources: {
      city: sourceOf(plan, city), way: { type: 'geojson', data: NOTHING }, surge: { type: 'geojson', data: NOTHING },
    }, layers: plan.tiles ? ofTiles(layers()) : layers() },
    bounds: heart(plan, city), fitBoundsOptions: { padding: aside() },
    minZoom: 8.5, maxZoom: 18, attributionControl: false, dragRotate: false, pitchWithRotate: false,
    touchPitch: false, fadeDuration: reduced ? 0 : 200, renderWorldCopies: false,
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), 'top-right');
  if (plan.attribution) {
    byID('thanks').textContent = plan.attribution;
    byID('thanks').hidden = false;
  }
  await new Promise((done) => map.once('load', done));
  return map;
}

/** The way between two points as a line: the given path, or a straight one that says so by its dots. */
export function showWay(map, from, to, path) {
  const line = path?.length > 1 ? path.map(lngLat) : from && to && [lngLat(from), lngLat(to)];
  map.getSource('way').setData(line ? {
    type: 'Feature', properties: { straight: !(path?.length > 1) }, geometry: { type: 'LineString', coordinates: line },
  } : NOTHING);
}

const lngLat = (p) => (Array.isArray(p) ? p : [p.lng, p.lat]);

/** The room that the card will take. */
function aside() {
  return innerWidth >= 760 ? { left: 390, top: 40, right: 60, bottom: 40 } : { left: 16, top: 70, right: 16, bottom: 230 };
}

/** The part of the city to show first: where its named districts are, else all of its roads. */
function heart(plan, city) {
  const [west, south, east, north] = plan.bounds;
  const inside = districts(city?.features ?? []).filter((d) => d.lng >= west && d.lng <= east && d.lat >= south && d.lat <= north);
  return inside.length > 2 ? box(inside) : [[west, south], [east, north]];
}

/** The named districts, for words such as 'Near Marina'. Of a city in tiles, those in the tiles that are loaded. */
export function districtsOf(map, city) {
  return districts(city ? city.features : map.querySourceFeatures('city', { sourceLayer: 'district' }));
}

function districts(features) {
  return features
    .filter((f) => f.properties.kind === 'district' && f.properties.name && f.geometry.type === 'Point')
    .map((f) => ({ name: f.properties.name, lng: f.geometry.coordinates[0], lat: f.geometry.coordinates[1] }));
}
