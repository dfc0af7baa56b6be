import { Check } from 'lucide-react';
import type { ReactNode } from 'react';
import {
  Header,
  Menu as AriaMenu,
  MenuItem,
  MenuSection,
  MenuTrigger,
  Popover,
  Separator,
} from 'react-aria-components';
import { Button } from 'react-aria-components';
import styles from './Menu.module.css';

export interface MenuChoice {
  readonly key: string;
  readonly label: string;
  readonly isChosen?: boolean;
  readonly onAction: () => void;
}

export interface MenuGroup {
  readonly title: string;
  readonly showTitle: boolean;
  readonly choices: readonly MenuChoice[];
}

interface MenuProps {
  readonly label: string;
  readonly trigger: ReactNode;
  readonly groups: readonly MenuGroup[];
}

export function Menu({ label, trigger, groups }: MenuProps) {
  const choices = groups.flatMap((group) => group.choices);
  return (
    <MenuTrigger>
      <Button aria-label={label} className={styles['trigger'] ?? ''}>
        {trigger}
      </Button>
      <Popover className={styles['popover'] ?? ''} placement="bottom end">
        <AriaMenu
          aria-label={label}
          className={styles['menu'] ?? ''}
          onAction={(key) => choices.find((choice) => choice.key === key)?.onAction()}
        >
          {groups.flatMap((group, index) => [
            ...(index > 0 ? [<Separator key={`line-${group.title}`} className={styles['line'] ?? ''} />] : []),
            <MenuSection key={group.title} aria-label={group.title}>
              {group.showTitle && <Header className={styles['header'] ?? ''}>{group.title}</Header>}
              {group.choices.map(({ key, label: name, isChosen = false }) => (
                <MenuItem key={key} id={key} textValue={name} className={styles['item'] ?? ''}>
                  <span>{name}</span>
                  {isChosen && <Check size={16} aria-hidden />}
                </MenuItem>
              ))}
            </MenuSection>,
          ])}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}
