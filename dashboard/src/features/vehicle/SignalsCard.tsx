import { Radio, SearchX } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { SignalInfo } from '@/api/types';
import { Card } from '@/components/Card/Card';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { SearchField } from '@/components/SearchField/SearchField';
import { Spinner } from '@/components/Spinner/Spinner';
import type { SignalStore } from '@/lib/live/signal-store';
import { text } from '@/lib/text';
import { signalRows } from './signal-rows';
import { SignalTable } from './SignalTable';

interface SignalsCardProps {
  readonly names: readonly string[];
  readonly isLoading: boolean;
  readonly infos: ReadonlyMap<string, SignalInfo>;
  readonly store: SignalStore;
  readonly charted: readonly string[];
  readonly onCharted: (names: readonly string[]) => void;
}

export function SignalsCard({ names, isLoading, infos, store, charted, onCharted }: SignalsCardProps) {
  const [query, setQuery] = useState('');
  const rows = useMemo(() => signalRows(names, query), [names, query]);
  const search = (
    <SearchField label={text.signals.search} placeholder={text.signals.search} value={query} onChange={setQuery} />
  );
  return (
    <Card title={text.signals.title} actions={search} isFlush>
      {rows.length > 0 && (
        <SignalTable rows={rows} infos={infos} store={store} charted={charted} onCharted={onCharted} />
      )}
      {rows.length === 0 && isLoading && <Spinner label={text.signals.loading} />}
      {rows.length === 0 && !isLoading && names.length === 0 && (
        <EmptyState icon={Radio} title={text.signals.emptyTitle} hint={text.signals.emptyHint} />
      )}
      {rows.length === 0 && names.length > 0 && <EmptyState icon={SearchX} title={text.signals.noMatchTitle} />}
    </Card>
  );
}
