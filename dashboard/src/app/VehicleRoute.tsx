export function VehicleRoute() {
  return null;
}
