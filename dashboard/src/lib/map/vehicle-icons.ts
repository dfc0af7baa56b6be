import type { Map as MapLibre } from 'maplibre-gl';
import { VEHICLE_STATES } from '../live/protocol';
import type { VehicleState } from '../live/protocol';
import { cssColor } from '../css-color';

const SIZE = 44;
const PIXEL_RATIO = 3;

/** With a beak that points along the course for a vehicle that moves, without one otherwise. */
export function vehicleIcon(state: VehicleState, hasHeading: boolean): string {
  return hasHeading ? `vehicle-${state}-heading` : `vehicle-${state}`;
}

export function addVehicleIcons(map: MapLibre): void {
  for (const state of VEHICLE_STATES) {
    for (const hasHeading of [false, true]) {
      const name = vehicleIcon(state, hasHeading);
      const image = draw(state, hasHeading);
      if (map.hasImage(name)) map.removeImage(name);
      map.addImage(name, image, { pixelRatio: PIXEL_RATIO });
    }
  }
}

function draw(state: VehicleState, hasHeading: boolean): ImageData {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIZE * PIXEL_RATIO;
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D;
  pen.scale(PIXEL_RATIO, PIXEL_RATIO);
  pen.translate(SIZE / 2, SIZE / 2);
  const color = cssColor(`--${state}`);
  const ground = cssColor('--surface');
  pen.shadowColor = 'rgb(0 0 0 / 35%)';
  pen.shadowBlur = 4 * PIXEL_RATIO;
  shape(pen, hasHeading, 10);
  pen.fillStyle = ground;
  pen.fill();
  pen.shadowColor = 'transparent';
  shape(pen, hasHeading, 7.6);
  pen.fillStyle = color;
  pen.fill();
  center(pen, state, ground);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** A disc, with a beak to the north of half its radius. */
function shape(pen: CanvasRenderingContext2D, hasHeading: boolean, radius: number): void {
  pen.beginPath();
  if (!hasHeading) {
    pen.arc(0, 0, radius, 0, 2 * Math.PI);
    return;
  }
  const side = (58 / 180) * Math.PI;
  pen.arc(0, 0, radius, -Math.PI / 2 + side, -Math.PI / 2 - side + 2 * Math.PI);
  pen.lineTo(0, -radius * 1.95);
  pen.closePath();
}

/** Told apart without colour: a half for idling, a square for parked, a hole for offline. */
function center(pen: CanvasRenderingContext2D, state: VehicleState, ground: string): void {
  pen.fillStyle = ground;
  if (state === 'parked') {
    pen.fillRect(-2.6, -2.6, 5.2, 5.2);
  }
  if (state === 'idling' || state === 'offline') {
    pen.beginPath();
    pen.arc(0, 0, 4.6, -Math.PI / 2, state === 'idling' ? Math.PI / 2 : 1.5 * Math.PI);
    pen.fill();
  }
}
