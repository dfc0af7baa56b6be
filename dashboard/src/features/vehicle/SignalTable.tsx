import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useMemo, useRef } from 'react';
import type { SignalInfo } from '@/api/types';
import { Checkbox } from '@/components/Checkbox/Checkbox';
import { NOTHING, formatAge, formatValue } from '@/lib/format';
import type { SignalStore } from '@/lib/live/signal-store';
import type { SignalName } from '@/lib/signal-name';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import type { TableRow } from './signal-rows';
import { choiceText } from './signal-text';
import styles from './SignalTable.module.css';
import { useNewest } from './use-signal-store';
import { MOST_CHARTS } from './vehicle-view';

const MESSAGE_HEIGHT = 34;
const SIGNAL_HEIGHT = 38;
const OLD_AFTER_MS = 30_000;

interface SignalTableProps {
  readonly rows: readonly TableRow[];
  readonly infos: ReadonlyMap<string, SignalInfo>;
  readonly store: SignalStore;
  readonly charted: readonly string[];
  readonly onCharted: (names: readonly string[]) => void;
}

/** Live values under their messages. Each row follows its own signal, so that one change renders one row. */
export function SignalTable({ rows, infos, store, charted, onCharted }: SignalTableProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (rows[index]?.kind === 'message' ? MESSAGE_HEIGHT : SIGNAL_HEIGHT),
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: 10,
  });
  const toggle = useMemo(() => toggler(charted, onCharted), [charted, onCharted]);
  const isFull = charted.length >= MOST_CHARTS;
  return (
    <div className={styles['table']} role="table" aria-label={text.signals.title} aria-rowcount={rows.length + 1}>
      <div role="rowgroup">
        <div className={`${styles['row']} ${styles['head']}`} role="row">
          <span role="columnheader" className="visually-hidden">
            {text.signals.columns.chart}
          </span>
          <span aria-hidden />
          <span role="columnheader">{text.signals.columns.name}</span>
          <span role="columnheader" className={styles['number']}>
            {text.signals.columns.value}
          </span>
          <span role="columnheader">{text.signals.columns.unit}</span>
          <span role="columnheader" className={styles['number']}>
            {text.signals.columns.age}
          </span>
        </div>
      </div>
      <div ref={scroller} className={styles['scroller']} role="rowgroup" tabIndex={0} aria-label={text.signals.title}>
        <div role="presentation" className={styles['sheet']} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ key, index, start, size }) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <div
                key={key}
                role="row"
                aria-rowindex={index + 2}
                className={row.kind === 'message' ? styles['message'] : styles['row']}
                style={{ height: size, transform: `translateY(${start}px)` }}
              >
                {row.kind === 'message' ? (
                  <MessageCells name={row.name} />
                ) : (
                  <SignalCells
                    name={row.key}
                    label={row.label}
                    info={infos.get(row.key)}
                    store={store}
                    isCharted={charted.includes(row.key)}
                    isFull={isFull}
                    onToggle={toggle}
                  />
                )}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function MessageCells({ name }: { readonly name: SignalName }) {
  const origin = [
    ...(name.bus === null ? [] : [text.signals.onBus(name.bus)]),
    ...(name.source === null ? [] : [text.signals.fromSource(name.source)]),
  ].join(', ');
  return (
    <span role="cell" aria-colspan={5}>
      <strong>{name.message === '' ? text.signals.noMessage : name.message}</strong> {origin}
    </span>
  );
}

interface SignalCellsProps {
  readonly name: string;
  readonly label: string;
  readonly info: SignalInfo | undefined;
  readonly store: SignalStore;
  readonly isCharted: boolean;
  readonly isFull: boolean;
  readonly onToggle: (name: string) => void;
}

const SignalCells = memo(function SignalCells(props: SignalCellsProps) {
  const { name, label, info, store, isCharted, isFull, onToggle } = props;
  const newest = useNewest(store, name);
  const word = newest === undefined ? null : choiceText(newest[1], info?.choices ?? null);
  return (
    <>
      <span role="cell">
        <Checkbox
          label={text.signals.chart(name)}
          isSelected={isCharted}
          isDisabled={isFull && !isCharted}
          onChange={() => onToggle(name)}
        />
      </span>
      <span role="cell" className={styles['name']} title={name}>
        {label}
      </span>
      <span role="cell" className={styles['value']} data-signal={name} data-value={newest?.[1]}>
        {newest === undefined ? NOTHING : (word ?? formatValue(newest[1]))}
      </span>
      <span role="cell" className={styles['unit']}>
        {word === null || newest === undefined ? info?.unit : formatValue(newest[1])}
      </span>
      <Age tMs={newest?.[0]} />
    </>
  );
});

function Age({ tMs }: { readonly tMs: number | undefined }) {
  const nowMs = useNowMs();
  const ageMs = tMs === undefined ? null : nowMs - tMs;
  return (
    <span role="cell" className={styles['age']} data-old={ageMs === null || ageMs > OLD_AFTER_MS || undefined}>
      {ageMs === null ? NOTHING : formatAge(ageMs)}
    </span>
  );
}

function toggler(charted: readonly string[], onCharted: (names: readonly string[]) => void) {
  return (name: string) =>
    onCharted(charted.includes(name) ? charted.filter((other) => other !== name) : [...charted, name]);
}
