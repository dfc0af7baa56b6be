import { CloudOff, TriangleAlert } from 'lucide-react';
import { ApiProblem } from '@/lib/api/problem';
import { text } from '@/lib/text';
import { Button } from '../Button/Button';
import { EmptyState } from '../EmptyState/EmptyState';

interface ErrorViewProps {
  readonly error: unknown;
  readonly onRetry: () => void;
}

/** What went wrong, in words for the person before the screen, with the way to try again. */
export function ErrorView({ error, onRetry }: ErrorViewProps) {
  const [title, hint] = explain(error);
  const icon = error instanceof ApiProblem && error.status === 0 ? CloudOff : TriangleAlert;
  return (
    <div role="alert">
      <EmptyState icon={icon} title={title} hint={hint}>
        <Button onPress={onRetry}>{text.problems.tryAgain}</Button>
      </EmptyState>
    </div>
  );
}

function explain(error: unknown): [title: string, hint: string] {
  if (!(error instanceof ApiProblem)) return [text.problems.unexpected, text.problems.unexpectedHint];
  if (error.status === 0) return [error.title, text.problems.unreachableHint];
  return [error.title, error.detail ?? text.problems.status(error.status)];
}
