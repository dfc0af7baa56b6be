import type { Map as MapLibre } from 'maplibre-gl';
import type { Theme } from '../theme';

/** One thing drawn over the base map. `attach` is called again whenever the style was replaced, as by another theme. */
export interface MapOverlay {
  attach(map: MapLibre, theme: Theme): void;
}
