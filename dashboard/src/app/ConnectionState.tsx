import { useSyncExternalStore } from 'react';
import { Button } from '@/components/Button/Button';
import { useConnection, useLive } from '@/lib/live/live';
import { text } from '@/lib/text';
import styles from './ConnectionState.module.css';

/** The small light in the bar: always there, so that "live" can be trusted. */
export function ConnectionLight() {
  const { phase } = useConnection();
  return (
    <span className={styles['light']} data-phase={phase} role="status" aria-label={text.connection.label}>
      <span className={styles['dot']} aria-hidden />
      {text.connection[phase]}
    </span>
  );
}

/** The wide line under the bar, only while what is on the page may be old. */
export function ConnectionBanner() {
  const { socket } = useLive();
  const { phase, retryAtMs } = useConnection();
  if (phase !== 'reconnecting') return null;
  return (
    <div className={styles['banner']} role="alert">
      <span>
        <strong>{text.connection.lost}</strong> {text.connection.lostHint}
      </span>
      {retryAtMs === null ? (
        <span>{text.connection.retrying}</span>
      ) : (
        <>
          <Countdown untilMs={retryAtMs} />
          <Button variant="quiet" onPress={() => socket.retryNow()}>
            {text.connection.retryNow}
          </Button>
        </>
      )}
    </div>
  );
}

function Countdown({ untilMs }: { readonly untilMs: number }) {
  const seconds = useSyncExternalStore(everySecond, () => Math.max(1, Math.ceil((untilMs - Date.now()) / 1000)));
  return <span aria-live="off">{text.connection.retryIn(seconds)}</span>;
}

function everySecond(listener: () => void): () => void {
  const timer = setInterval(listener, 250);
  return () => clearInterval(timer);
}
