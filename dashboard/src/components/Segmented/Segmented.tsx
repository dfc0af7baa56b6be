import type { ReactNode } from 'react';
import { ToggleButton, ToggleButtonGroup } from 'react-aria-components';
import styles from './Segmented.module.css';

interface SegmentedProps<Key extends string> {
  readonly label: string;
  /** Null where none of the options is the present choice. */
  readonly value: Key | null;
  readonly options: readonly (readonly [Key, ReactNode])[];
  readonly onChange: (value: Key) => void;
}

/** One choice out of few, all in sight. */
export function Segmented<Key extends string>({ label, value, options, onChange }: SegmentedProps<Key>) {
  return (
    <ToggleButtonGroup
      aria-label={label}
      className={styles['group'] ?? ''}
      selectionMode="single"
      selectedKeys={value === null ? [] : [value]}
      onSelectionChange={(keys) => {
        const chosen = options.find(([key]) => keys.has(key));
        if (chosen !== undefined) onChange(chosen[0]);
        else if (value !== null) onChange(value);
      }}
    >
      {options.map(([key, name]) => (
        <ToggleButton key={key} id={key} className={styles['option'] ?? ''}>
          {name}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}
