import { expect, test } from 'vitest';
import { position, vehicleView } from '@/testing/vehicles';
import { fleetBounds, fleetGeoJson } from './fleet-geojson';

test('a vehicle without a position is not on the map', () => {
  expect(fleetGeoJson([vehicleView({ position: null })]).features).toEqual([]);
  expect(fleetBounds([vehicleView({ position: null })])).toBeNull();
});

test('only a driving vehicle with a course points somewhere', () => {
  const heading = position({ course: 90 });
  const icons = fleetGeoJson([
    vehicleView({ state: 'driving', position: heading }),
    vehicleView({ state: 'parked', position: heading }),
    vehicleView({ state: 'driving', position: position({ course: null }) }),
  ]).features.map(({ properties }) => [properties.icon, properties.course]);
  expect(icons).toEqual([
    ['vehicle-driving-heading', 90],
    ['vehicle-parked', 0],
    ['vehicle-driving', 0],
  ]);
});

test('bounds hold every vehicle', () => {
  const fleet = [position({ lat: 60, lon: 25 }), position({ lat: 61, lon: 24 })].map((p) =>
    vehicleView({ position: p }),
  );
  expect(fleetBounds(fleet)).toEqual([24, 60, 25, 61]);
});
