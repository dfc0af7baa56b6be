import { Check } from 'lucide-react';
import { Checkbox as AriaCheckbox } from 'react-aria-components';
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
    <AriaCheckbox
      aria-label={label}
      className={styles['checkbox'] ?? ''}
      isSelected={isSelected}
      isDisabled={isDisabled}
      onChange={onChange}
    >
      <span className={styles['box']}>{isSelected && <Check size={12} strokeWidth={3.5} aria-hidden />}</span>
    </AriaCheckbox>
  );
}
