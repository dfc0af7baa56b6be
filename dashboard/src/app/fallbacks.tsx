import type { ErrorComponentProps } from '@tanstack/react-router';
import { Link, useRouter } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { buttonClass } from '@/components/Button/button-class';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { ErrorView } from '@/components/ErrorView/ErrorView';
import { text } from '@/lib/text';

export function NotFoundPage() {
  return (
    <main>
      <EmptyState icon={Compass} title={text.notFound.title} hint={text.notFound.hint} isPage>
        <Link to="/" className={buttonClass('plain')}>
          {text.notFound.back}
        </Link>
      </EmptyState>
    </main>
  );
}

export function RouteError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return <ErrorView error={error} onRetry={retry} />;
}
