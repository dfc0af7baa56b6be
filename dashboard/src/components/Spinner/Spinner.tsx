import styles from './Spinner.module.css';

export function Spinner({ label }: { readonly label: string }) {
  return (
    <div className={styles['spinner']} role="status">
      <span className={styles['wheel']} aria-hidden />
      {label}
    </div>
  );
}
