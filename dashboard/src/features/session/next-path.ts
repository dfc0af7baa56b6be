/** Where to go after signing in: a path of this page, never another site's address. */
export function safeNextPath(next: string | undefined): string {
  if (next === undefined || !next.startsWith('/') || /^\/[/\\]/.test(next) || next.startsWith('/sign-in')) return '/';
  return next;
}
