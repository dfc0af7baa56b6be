import { Search, X } from 'lucide-react';
import { Button, Input, SearchField as AriaSearchField } from 'react-aria-components';
import styles from './SearchField.module.css';

interface SearchFieldProps {
  readonly label: string;
  readonly placeholder: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

export function SearchField({ label, placeholder, value, onChange }: SearchFieldProps) {
  return (
    <AriaSearchField aria-label={label} value={value} onChange={onChange} className={styles['field'] ?? ''}>
      <Search size={16} aria-hidden className={styles['glass']} />
      <Input className={styles['input'] ?? ''} placeholder={placeholder} />
      {value !== '' && (
        <Button className={styles['clear'] ?? ''}>
          <X size={16} aria-hidden />
        </Button>
      )}
    </AriaSearchField>
  );
}
