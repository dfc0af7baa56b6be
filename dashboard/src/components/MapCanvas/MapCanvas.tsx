import { MapPinOff } from 'lucide-react';
import {
  AttributionControl,
  Map as MapLibre,
  NavigationControl,
  ScaleControl,
  addProtocol,
  setWorkerUrl,
} from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import { Protocol } from 'pmtiles';
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { baseStyle } from '@/lib/map/base-style';
import type { MapOverlay } from '@/lib/map/overlay';
import { pageState } from '@/lib/perf';
import { text } from '@/lib/text';
import { useTheme } from '@/lib/theme';
import { EmptyState } from '../EmptyState/EmptyState';
import styles from './MapCanvas.module.css';

interface MapCanvasProps {
  readonly label: string;
  /** Drawn in this order, over the base map; the array must stay the same while the map lives. */
  readonly overlays: readonly MapOverlay[];
  /** Called once, with the map whose overlays are attached; returns the clean-up. */
  readonly onReady?: (map: MapLibre) => (() => void) | undefined;
  readonly children?: ReactNode;
}

setWorkerUrl(workerUrl);
addProtocol('pmtiles', new Protocol().tile);

export function MapCanvas({ label, overlays, onReady, children }: MapCanvasProps) {
  const container = useRef<HTMLDivElement>(null);
  const [map, setMap] = useState<MapLibre | null>(null);
  const [canDraw] = useState(hasWebGl2);
  const theme = useTheme((state) => state.theme);
  const themeOnMap = useRef(theme);
  const ready = useRef(onReady);

  useEffect(() => {
    if (!canDraw || container.current === null) return undefined;
    let cleanUp: (() => void) | undefined;
    const created = createMap(container.current, label);
    created.on('style.load', () => {
      for (const overlay of overlays) overlay.attach(created, useTheme.getState().theme);
      cleanUp ??= ready.current?.(created);
    });
    created.once('idle', () => {
      pageState.mapReady = true;
    });
    setMap(created);
    return () => {
      pageState.mapReady = false;
      cleanUp?.();
      created.remove();
      setMap(null);
    };
  }, [canDraw, label, overlays]);

  useEffect(() => {
    if (map === null || themeOnMap.current === theme) return;
    themeOnMap.current = theme;
    map.setStyle(baseStyle(theme), { diff: false });
  }, [map, theme]);

  if (!canDraw) return <EmptyState icon={MapPinOff} title={text.map.unavailable} hint={text.map.unavailableHint} />;
  return (
    <div className={styles['frame']}>
      <div ref={container} className={styles['map']} />
      {children}
    </div>
  );
}

function createMap(container: HTMLElement, label: string): MapLibre {
  const map = new MapLibre({
    container,
    style: baseStyle(useTheme.getState().theme),
    center: [12, 50],
    zoom: 3,
    maxZoom: 18,
    fadeDuration: 0,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    locale: {
      'Map.Title': label,
      'NavigationControl.ZoomIn': text.map.zoomIn,
      'NavigationControl.ZoomOut': text.map.zoomOut,
    },
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new ScaleControl({ unit: 'metric' }), 'bottom-left');
  map.addControl(new AttributionControl({ compact: false }), 'bottom-right');
  map.addControl(new NavigationControl({ showCompass: false }), 'bottom-right');
  return map;
}

function hasWebGl2(): boolean {
  return document.createElement('canvas').getContext('webgl2') !== null;
}
