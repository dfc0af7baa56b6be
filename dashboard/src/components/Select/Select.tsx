import { Check, ChevronDown } from 'lucide-react';
import { Button, Label, ListBox, ListBoxItem, Popover, Select as AriaSelect, SelectValue } from 'react-aria-components';
import styles from './Select.module.css';

interface SelectProps<Key extends string> {
  readonly label: string;
  readonly value: Key;
  readonly options: readonly (readonly [Key, string])[];
  readonly onChange: (value: Key) => void;
}

export function Select<Key extends string>({ label, value, options, onChange }: SelectProps<Key>) {
  return (
    <AriaSelect
      className={styles['select'] ?? ''}
      selectedKey={value}
      onSelectionChange={(key) => {
        const chosen = options.find(([option]) => option === key);
        if (chosen !== undefined) onChange(chosen[0]);
      }}
    >
      <Label className={styles['label'] ?? ''}>{label}</Label>
      <Button className={styles['button'] ?? ''}>
        <SelectValue />
        <ChevronDown size={16} aria-hidden />
      </Button>
      <Popover className={styles['popover'] ?? ''}>
        <ListBox className={styles['list'] ?? ''}>
          {options.map(([key, name]) => (
            <ListBoxItem key={key} id={key} textValue={name} className={styles['item'] ?? ''}>
              {({ isSelected }) => (
                <>
                  <span>{name}</span>
                  {isSelected && <Check size={16} aria-hidden />}
                </>
              )}
            </ListBoxItem>
          ))}
        </ListBox>
      </Popover>
    </AriaSelect>
  );
}
