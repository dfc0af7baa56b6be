// How numbers and times read. Pure; times are ms since the epoch, shown in the browser's own time zone.

const LOCALE = 'en-GB';
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short', year: 'numeric' });
const clockShort = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' });

export const NOTHING = '–';

/** A signal's value: every digit before the point, others up to six significant ones, an exponent beyond. */
export function formatValue(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(3);
  return String(Number(size >= 1e5 ? value.toFixed(0) : value.toPrecision(6)));
}

/** "now", "12 s", "3 min", "5 h", "2 d". A clock that is slightly ahead reads as "now". */
export function formatAge(ageMs: number): string {
  const seconds = Math.floor(ageMs / 1000);
  if (seconds < 2) return 'now';
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${whole.format(Math.floor(hours / 24))} d`;
}

export function formatAgo(ageMs: number): string {
  const age = formatAge(ageMs);
  return age === 'now' ? 'just now' : `${age} ago`;
}

export function formatSpeed(kmh: number | null): string {
  return kmh === null ? NOTHING : `${whole.format(kmh)} km/h`;
}

/** Metres below 1 km, one decimal below 100 km. */
export function formatDistance(metres: number): string {
  if (metres < 1000) return `${whole.format(metres)} m`;
  const km = metres / 1000;
  return km < 100 ? `${km.toFixed(1)} km` : `${whole.format(km)} km`;
}

/** "48 s", "12 min", "3 h 05 min". */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export function formatClock(ms: number): string {
  return clock.format(ms);
}

export function formatClockShort(ms: number): string {
  return clockShort.format(ms);
}

export function formatDateTime(ms: number): string {
  return `${day.format(ms)}, ${clock.format(ms)}`;
}

/** Five decimals: about a metre. */
export function formatPlace(lat: number, lon: number): string {
  return `${lat.toFixed(5)}, ${lon.toFixed(5)}`;
}

const WINDS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'] as const;

/** "NE, 42°". */
export function formatCourse(degrees: number | null): string {
  if (degrees === null) return NOTHING;
  const normal = ((degrees % 360) + 360) % 360;
  return `${WINDS[Math.round(normal / 45) % 8]}, ${Math.round(normal) % 360}°`;
}
