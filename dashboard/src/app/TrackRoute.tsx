export function TrackRoute() {
  return null;
}
