import { Check } from 'lucide-react';
import styles from './Checkbox.module.css';

interface CheckboxProps {
  readonly label: string;
  readonly isSelected: boolean;
  readonly isDisabled?: boolean;
  readonly onChange: (isSelected: boolean) => void;
}

/** A checkbox whose label is for assistive technology only; what it belongs to stands beside it. */
export function Checkbox({ label, isSelected, isDisabled = false, onChange }: CheckboxProps) {
  return (
    <span className={styles['checkbox']}>
      <input
        type="checkbox"
        aria-label={label}
        checked={isSelected}
        disabled={isDisabled}
        onChange={(event) => onChange(event.target.checked)}
      />
      <Check size={12} strokeWidth={3.5} aria-hidden />
    </span>
  );
}
