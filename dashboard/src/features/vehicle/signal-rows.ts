import { parseSignalName, signalLabel } from '@/lib/signal-name';
import type { SignalName } from '@/lib/signal-name';

export type TableRow =
  | { readonly kind: 'message'; readonly key: string; readonly name: SignalName; readonly count: number }
  | { readonly kind: 'signal'; readonly key: string; readonly label: string };

/** Signals under their messages, in the order of their names; only those that contain every word of the search. */
export function signalRows(names: Iterable<string>, query: string): TableRow[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<string, { name: SignalName; rows: TableRow[] }>();
  for (const full of [...new Set(names)].sort()) {
    if (!words.every((word) => full.toLowerCase().includes(word))) continue;
    const name = parseSignalName(full);
    const key = `${name.message}\u0000${name.bus ?? ''}\u0000${name.source ?? ''}`;
    const group = groups.get(key) ?? { name, rows: [] };
    group.rows.push({ kind: 'signal', key: full, label: signalLabel(name) });
    groups.set(key, group);
  }
  return [...groups].flatMap(([key, { name, rows }]) => [{ kind: 'message', key, name, count: rows.length }, ...rows]);
}

const FAVOURITES = [
  /vehicle.?speed|wheel.?based.*speed/i,
  /engine.?speed|rpm/i,
  /speed/i,
  /coolant|temp/i,
  /voltage|soc\b/i,
];

/** What is worth a chart before anybody chose: speed and engine speed where there are such, else whatever comes first. */
export function defaultCharts(names: readonly string[], most = 2): string[] {
  const chosen: string[] = [];
  for (const pattern of FAVOURITES) {
    const found = names.find((name) => pattern.test(name) && !chosen.includes(name));
    if (found !== undefined && chosen.length < most) chosen.push(found);
  }
  return chosen.length > 0 ? chosen : names.slice(0, 1);
}
