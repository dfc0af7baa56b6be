// A stand-in for `fleetwire web` while working on the dashboard alone: invented vehicles, the same addresses and messages.
// Nothing but development uses it:  node dev/mock-server.mjs [vehicles=25] [port=8090]   user "admin", password "admin"
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const VEHICLES = Number(process.argv[2] ?? 25);
const PORT = Number(process.argv[3] ?? 8090);
const CENTER = { lat: 60.21, lon: 24.93 };
const SIGNALS = [
  ['EngineStatus.EngineSpeed', 'rpm', 0, 8000, null, (v) => 800 + v.speed * 28],
  ['EngineStatus.CoolantTemperature', '°C', -40, 215, null, () => 88.5 + Math.sin(Date.now() / 60000)],
  ['EngineStatus.EngineRunning', '', 0, 1, { 0: 'Off', 1: 'Running' }, (v) => (v.state === 'parked' ? 0 : 1)],
  ['VehicleMotion.VehicleSpeed', 'km/h', 0, 250, null, (v) => v.speed],
  ['VehicleMotion.Odometer', 'km', 0, 1e6, null, (v) => 128340.2 + v.travelled],
  ['VehicleMotion.Acceleration', 'm/s²', -10, 10, null, () => Math.random() - 0.5],
  [
    'Transmission.Gear',
    '',
    0,
    15,
    { 0: 'Neutral', 1: 'First', 2: 'Second', 3: 'Third', 4: 'Fourth', 5: 'Fifth' },
    (v) => Math.min(5, Math.ceil(v.speed / 16)),
  ],
  ['Body.BrakePressed', '', 0, 1, { 0: 'Released', 1: 'Pressed' }, () => Number(Math.random() < 0.1)],
  ['Body.FuelLevel', '%', 0, 100, null, (v) => 63 - v.travelled / 10],
  ['Body.BatteryVoltage', 'V', 0, 32, null, () => 27.6 + Math.random() / 10],
  ['pt:EEC1.EngineTorque@00', '%', -125, 125, null, (v) => v.speed / 2],
  ...Array.from({ length: 30 }, (_, i) => [
    `Wheel${Math.floor(i / 4)}.Pressure${i % 4}`,
    'kPa',
    0,
    1000,
    null,
    () => 820 + i,
  ]),
];

const fleet = Array.from({ length: VEHICLES }, (_, i) => ({
  id: `truck-${String(i + 1).padStart(4, '0')}`,
  name: i === 0 ? 'Demo van' : `truck-${String(i + 1).padStart(4, '0')}`,
  mood: ['driving', 'driving', 'driving', 'idling', 'parked', 'offline'][i % 6],
  lat: CENTER.lat + (Math.random() - 0.5) * 0.2,
  lon: CENTER.lon + (Math.random() - 0.5) * 0.5,
  course: Math.random() * 360,
  speed: 0,
  travelled: 0,
  state: 'offline',
  seen: Date.now() - 900_000,
}));

function step() {
  for (const v of fleet) {
    v.state = v.mood;
    if (v.mood === 'offline') continue;
    v.seen = Date.now();
    if (v.mood !== 'driving') {
      v.speed = 0;
      continue;
    }
    v.course = (v.course + (Math.random() - 0.5) * 14 + 360) % 360;
    v.speed = Math.max(20, Math.min(95, v.speed + (Math.random() - 0.45) * 8));
    const km = v.speed / 3600;
    v.travelled += km;
    v.lat += (km / 111.2) * Math.cos((v.course * Math.PI) / 180);
    v.lon += (km / 111.2 / Math.cos((v.lat * Math.PI) / 180)) * Math.sin((v.course * Math.PI) / 180);
  }
}

const position = (v) => ({ t: v.seen, lat: v.lat, lon: v.lon, speed: v.speed, course: v.course, alt: 12 });
const element = (v) => ({ id: v.id, name: v.name, state: v.state, last_seen: v.seen, position: position(v) });
const samples = (v) => Object.fromEntries(SIGNALS.map(([name, , , , , f]) => [name, [v.seen, f(v)]]));

const sessions = new Set();
const signedIn = (request) => sessions.has(/fleetwire_session=(\w+)/.exec(request.headers.cookie ?? '')?.[1]);

function reply(response, status, body, headers = {}) {
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  response
    .writeHead(status, { 'Content-Type': type, ...headers })
    .end(status === 204 ? undefined : JSON.stringify(body));
}

const problem = (response, status, title, detail) =>
  reply(response, status, { type: 'about:blank', title, status, detail });

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  if (url.pathname === '/v1/session') return session(request, response);
  if (!signedIn(request)) return problem(response, 401, 'Not signed in', 'Sign in first.');
  if (url.pathname === '/v1/vehicles') return reply(response, 200, { vehicles: fleet.map(element), next: null });
  const [, id, what] = /^\/v1\/vehicles\/([^/]+)\/?(.*)$/.exec(url.pathname) ?? [];
  const vehicle = fleet.find((v) => v.id === decodeURIComponent(id ?? ''));
  if (vehicle === undefined) return problem(response, 404, 'No such vehicle', `There is no vehicle ${id}.`);
  const from = Date.parse(url.searchParams.get('from')),
    to = Date.parse(url.searchParams.get('to'));
  switch (what) {
    case '':
      return reply(response, 200, element(vehicle));
    case 'signals':
      return reply(response, 200, {
        signals: SIGNALS.map(([name, unit, min, max, choices]) => ({ name, unit, min, max, choices })),
      });
    case 'series':
      return reply(response, 200, { series: series(url.searchParams.getAll('signal'), from, to) });
    case 'track':
      return track(response, vehicle, from, to, url.searchParams.get('format'));
    default:
      return problem(response, 404, 'No such page', url.pathname);
  }
});

async function session(request, response) {
  if (request.method === 'GET') {
    return signedIn(request)
      ? reply(response, 200, { user: 'admin', role: 'admin' })
      : problem(response, 401, 'Not signed in');
  }
  if (request.method === 'DELETE') {
    sessions.clear();
    return reply(response, 204);
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const { user, password } = JSON.parse(body);
  if (user !== 'admin' || password !== 'admin') return problem(response, 401, 'Wrong user or password', 'Try again.');
  const key = Math.random().toString(36).slice(2);
  sessions.add(key);
  reply(
    response,
    200,
    { user, role: 'admin' },
    { 'Set-Cookie': `fleetwire_session=${key}; HttpOnly; SameSite=Strict; Path=/` },
  );
}

function series(names, from, to) {
  const stepMs = Math.max(1000, Math.round((to - from) / 400));
  return Object.fromEntries(
    names.map((name, k) => {
      const t = [],
        mean = [],
        min = [],
        max = [],
        n = [];
      for (let at = Math.ceil(from / stepMs) * stepMs; at < to; at += stepMs) {
        const value = 40 + 25 * Math.sin(at / 40000 + k) + 5 * Math.sin(at / 7000);
        t.push(at);
        mean.push(value);
        min.push(value - 2);
        max.push(value + 2);
        n.push(5);
      }
      return [name, { unit: SIGNALS.find((s) => s[0] === name)?.[1] ?? '', t, min, max, mean, n }];
    }),
  );
}

function track(response, vehicle, from, to, format) {
  if (vehicle.mood === 'offline') from = to;
  const times = [],
    speeds = [],
    coordinates = [];
  for (let at = from; at < to; at += Math.max(5000, (to - from) / 2000)) {
    const a = at / 900_000;
    times.push(Math.round(at));
    speeds.push(45 + 30 * Math.sin(at / 90_000));
    coordinates.push([
      CENTER.lon + 0.2 * Math.sin(a) + 0.02 * Math.sin(7 * a),
      CENTER.lat + 0.08 * Math.sin(1.7 * a) + 0.01 * Math.cos(9 * a),
    ]);
  }
  if (format === 'gpx') {
    response.writeHead(200, {
      'Content-Type': 'application/gpx+xml',
      'Content-Disposition': `attachment; filename="${vehicle.id}.gpx"`,
    });
    return response.end('<gpx/>');
  }
  reply(response, 200, {
    type: 'Feature',
    geometry: { type: 'LineString', coordinates },
    properties: {
      vehicle: vehicle.id,
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      times,
      speeds,
    },
  });
}

const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!signedIn(request)) return socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
  sockets.handleUpgrade(request, socket, head, live);
});

function live(socket) {
  const subscriptions = new Map();
  const send = (message) => socket.send(JSON.stringify(message));
  const chosen = ({ vehicles }) => fleet.filter((v) => vehicles.includes('*') || vehicles.includes(v.id));
  const whole = (v, { signals }) => ({ ...element(v), signals: signals.length > 0 ? samples(v) : {} });
  send({ op: 'hello', server_ms: Date.now(), version: '0.1.0' });
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.op === 'ping') send({ op: 'pong' });
    if (message.op === 'unsubscribe') subscriptions.delete(message.id);
    if (message.op !== 'subscribe') return;
    subscriptions.set(message.id, message);
    send({ op: 'snapshot', id: message.id, vehicles: chosen(message).map((v) => whole(v, message)) });
  });
  const timer = setInterval(() => {
    for (const [id, subscription] of subscriptions) {
      const moved = chosen(subscription).filter((v) => v.mood !== 'offline');
      send({ op: 'update', id, vehicles: moved.map((v) => whole(v, subscription)) });
    }
  }, 1000);
  socket.on('close', () => clearInterval(timer));
}

step();
setInterval(step, 1000);
server.listen(PORT, '127.0.0.1', () =>
  console.log(`mock of fleetwire web: ${VEHICLES} vehicles on http://127.0.0.1:${PORT}`),
);
