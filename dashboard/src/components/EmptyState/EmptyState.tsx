import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import styles from './EmptyState.module.css';

interface EmptyStateProps {
  readonly icon: LucideIcon;
  readonly title: string;
  readonly hint?: string;
  readonly children?: ReactNode;
  /** The page's main heading, where nothing else is on the page. */
  readonly isPage?: boolean;
}

export function EmptyState({ icon: Icon, title, hint, children, isPage = false }: EmptyStateProps) {
  const Heading = isPage ? 'h1' : 'h2';
  return (
    <div className={styles['empty']} data-page={isPage || undefined}>
      <span className={styles['icon']}>
        <Icon size={22} aria-hidden />
      </span>
      <Heading className={styles['title']}>{title}</Heading>
      {hint !== undefined && <p className={styles['hint']}>{hint}</p>}
      {children}
    </div>
  );
}
