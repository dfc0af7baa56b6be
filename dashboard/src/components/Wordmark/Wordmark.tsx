import { text } from '@/lib/text';
import styles from './Wordmark.module.css';

export function Wordmark() {
  return (
    <span className={styles['wordmark']}>
      <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden>
        <path d="M3 21h6l3.2-11 4.6 15 3.4-10h8.8" />
      </svg>
      {text.product}
    </span>
  );
}
