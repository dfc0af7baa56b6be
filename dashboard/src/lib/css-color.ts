/** A colour token of styles/tokens.css as the present theme has it: canvases cannot use var(). */
export function cssColor(token: `--${string}`): string {
  return getComputedStyle(document.documentElement).getPropertyValue(token).trim();
}
