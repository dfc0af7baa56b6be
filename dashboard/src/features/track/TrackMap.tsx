import type { Map as MapLibre } from 'maplibre-gl';
import { useEffect, useState } from 'react';
import { MapCanvas } from '@/components/MapCanvas/MapCanvas';
import { text } from '@/lib/text';
import { trackBounds } from '@/lib/track/track';
import type { Track } from '@/lib/track/track';
import { TrackOverlay } from './track-overlay';

interface TrackMapProps {
  readonly track: Track;
  readonly hovered: number | null;
}

export function TrackMap({ track, hovered }: TrackMapProps) {
  const [map, setMap] = useState<MapLibre | null>(null);
  const [overlay] = useState(() => new TrackOverlay());
  const [overlays] = useState(() => [overlay]);

  useEffect(() => {
    if (map === null) return;
    overlay.show(track);
    if (track.coordinates.length > 0) map.fitBounds(trackBounds(track), { padding: 48, maxZoom: 15, animate: false });
  }, [map, overlay, track]);

  useEffect(() => {
    overlay.mark(hovered === null ? null : (track.coordinates[hovered] ?? null));
  }, [map, overlay, track, hovered]);

  return (
    <MapCanvas
      label={text.track.map}
      overlays={overlays}
      onReady={(ready) => {
        setMap(ready);
        return () => setMap(null);
      }}
    />
  );
}
