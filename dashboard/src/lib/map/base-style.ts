import { layers, namedFlavor } from '@protomaps/basemaps';
import type { Flavor } from '@protomaps/basemaps';
import type { LayerSpecification, StyleSpecification } from 'maplibre-gl';
import { text } from '../text';
import type { Theme } from '../theme';

const SOURCE = 'world';
const WORLD_LAYERS = new Set(['earth', 'water', 'boundaries', 'places']);

/** The families that styles/fonts.css declares for the map's labels. */
export const LABEL_FONT = 'Noto Sans Medium';

/** The world, from this page's own server: no glyphs (labels are drawn from web fonts), no sprites, no other host. */
export function baseStyle(theme: Theme): StyleSpecification {
  return {
    version: 8,
    sources: {
      [SOURCE]: {
        type: 'vector',
        url: `pmtiles://${location.origin}/world.pmtiles`,
        attribution: text.map.attribution,
      },
    },
    layers: layers(SOURCE, flavor(theme), { lang: 'en' }).filter(isDrawn).map(adapt),
  };
}

function isDrawn(layer: LayerSpecification): boolean {
  return layer.type === 'background' || ('source-layer' in layer && WORLD_LAYERS.has(layer['source-layer'] ?? ''));
}

/** Fits a Protomaps layer to a file that has no sprites and carries every place in its last zoom. */
function adapt(layer: LayerSpecification): LayerSpecification {
  if (layer.id === 'water_river') {
    return { ...layer, minzoom: 3, paint: { ...layer.paint, 'line-width': RIVER_WIDTH } } as LayerSpecification;
  }
  if (layer.type !== 'symbol') return layer;
  const { 'icon-image': _image, 'icon-size': _size, ...layout } = layer.layout ?? {};
  const isPlace = layer.id === 'places_locality' || layer.id === 'places_country';
  const seen = isPlace && layer.filter !== undefined ? ['<=', ['get', 'min_zoom'], ['zoom']] : null;
  return {
    ...layer,
    ...(layer.id === 'places_country' ? { maxzoom: 6 } : {}),
    ...(layer.id === 'water_label_lakes' ? { minzoom: 7 } : {}),
    ...(seen === null ? {} : { filter: ['all', ['==', ['get', 'kind'], kindOf(layer.id)], seen] }),
    layout: { ...layout, ...(layer.id.startsWith('water') ? { 'text-font': ['Noto Sans Regular'] } : {}) },
  } as LayerSpecification;
}

function kindOf(layerId: string): string {
  return layerId === 'places_country' ? 'country' : 'locality';
}

const RIVER_WIDTH = ['interpolate', ['linear'], ['zoom'], 3, 0.4, 8, 1.4, 14, 4];

function flavor(theme: Theme): Flavor {
  return { ...namedFlavor(theme), ...(theme === 'dark' ? DARK : LIGHT) };
}

const LIGHT: Partial<Flavor> = {
  background: '#c7dcdf',
  earth: '#f3f3ee',
  water: '#c7dcdf',
  boundaries: '#a9b4b0',
  city_label: '#41524f',
  city_label_halo: '#f3f3ee',
  country_label: '#7d8d89',
  ocean_label: '#5f8288',
};

const DARK: Partial<Flavor> = {
  background: '#0b1718',
  earth: '#1a2627',
  water: '#0b1718',
  boundaries: '#43575a',
  city_label: '#a5b7b4',
  city_label_halo: '#1a2627',
  country_label: '#72878a',
  ocean_label: '#54737a',
};
