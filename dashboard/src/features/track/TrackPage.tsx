import { useQuery } from '@tanstack/react-query';
import { Download, MapPinOff } from 'lucide-react';
import { useMemo, useState } from 'react';
import { buttonClass } from '@/components/Button/button-class';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { ErrorView } from '@/components/ErrorView/ErrorView';
import { Spinner } from '@/components/Spinner/Spinner';
import { formatDateTime, formatDistance, formatDuration, formatSpeed } from '@/lib/format';
import { text } from '@/lib/text';
import type { Span } from '@/lib/time/span';
import { SpanPicker } from './SpanPicker';
import { SpeedProfile } from './SpeedProfile';
import { summarise } from '@/lib/track/track';
import type { TrackSummary } from '@/lib/track/track';
import { trackQuery, trackUrl } from '@/lib/track/track-api';
import { TrackMap } from './TrackMap';
import styles from './TrackPage.module.css';

interface TrackPageProps {
  readonly vehicleId: string;
  readonly span: Span;
  readonly onSpan: (span: Span) => void;
}

/** Where a vehicle drove in a span of time: the line, its figures, its speed. */
export function TrackPage({ vehicleId, span, onSpan }: TrackPageProps) {
  const track = useQuery(trackQuery(vehicleId, span));
  const summary = useMemo(() => (track.data === undefined ? null : summarise(track.data)), [track.data]);
  const [hovered, setHovered] = useState<number | null>(null);

  return (
    <div className={styles['page']}>
      <section className={styles['side']} aria-label={text.track.title}>
        <SpanPicker key={`${span.fromMs}-${span.toMs}`} span={span} onSpan={onSpan} />
        {summary !== null && (
          <>
            <Summary summary={summary} />
            <div className={styles['download']}>
              <a className={buttonClass('plain')} href={trackUrl(vehicleId, span, 'gpx')} download={`${vehicleId}.gpx`}>
                <Download size={16} aria-hidden /> {text.track.gpx}
              </a>
            </div>
          </>
        )}
      </section>
      <div className={styles['picture']}>
        {track.isPending && <Spinner label={text.track.loading} />}
        {track.isError && <ErrorView error={track.error} onRetry={() => void track.refetch()} />}
        {track.isSuccess && summary === null && (
          <EmptyState icon={MapPinOff} title={text.track.emptyTitle} hint={text.track.emptyHint} />
        )}
        {track.isSuccess && summary !== null && (
          <>
            <div className={styles['map']}>
              <TrackMap track={track.data} hovered={hovered} />
            </div>
            {summary.topSpeedKmh !== null && <SpeedProfile track={track.data} hovered={hovered} onHover={setHovered} />}
          </>
        )}
      </div>
    </div>
  );
}

function Summary({ summary }: { readonly summary: TrackSummary }) {
  return (
    <dl className={styles['facts']}>
      <Fact name={text.track.length} value={formatDistance(summary.lengthM)} isBig />
      <Fact name={text.track.duration} value={formatDuration(summary.lastMs - summary.firstMs)} isBig />
      <Fact name={text.track.topSpeed} value={formatSpeed(summary.topSpeedKmh)} />
      <Fact name={text.track.points} value={String(summary.fixes)} />
      <Fact name={text.track.first} value={formatDateTime(summary.firstMs)} isWide />
      <Fact name={text.track.last} value={formatDateTime(summary.lastMs)} isWide />
    </dl>
  );
}

interface FactProps {
  readonly name: string;
  readonly value: string;
  readonly isBig?: boolean;
  readonly isWide?: boolean;
}

function Fact({ name, value, isBig = false, isWide = false }: FactProps) {
  return (
    <div data-big={isBig || undefined} data-wide={isWide || undefined}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
