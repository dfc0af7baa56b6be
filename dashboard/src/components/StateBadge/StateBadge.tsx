import type { VehicleState } from '@/lib/live/protocol';
import { text } from '@/lib/text';
import styles from './StateBadge.module.css';

export function StateBadge({ state }: { readonly state: VehicleState }) {
  return (
    <span className={styles['badge']} data-state={state}>
      <StateMark state={state} />
      {text.states[state]}
    </span>
  );
}

/** The state's colour and shape without its word; not for assistive technology. */
export function StateMark({ state }: { readonly state: VehicleState }) {
  return <span className={styles['mark']} data-state={state} aria-hidden />;
}
