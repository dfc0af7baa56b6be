import type { ErrorComponentProps } from '@tanstack/react-router';
import { Link } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { buttonClass } from '@/components/Button/button-class';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { ErrorView } from '@/components/ErrorView/ErrorView';
import { text } from '@/lib/text';

export function NotFoundPage() {
  return (
    <EmptyState icon={Compass} title={text.notFound.title} hint={text.notFound.hint} isPage>
      <Link to="/" className={buttonClass('plain')}>
        {text.notFound.back}
      </Link>
    </EmptyState>
  );
}

export function RouteError({ error, reset }: ErrorComponentProps) {
  return <ErrorView error={error} onRetry={reset} />;
}
