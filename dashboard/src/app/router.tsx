import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { Spinner } from '@/components/Spinner/Spinner';
import { safeNextPath } from '@/features/session/next-path';
import { sessionQuery } from '@/features/session/session-api';
import { text } from '@/lib/text';
import { AppShell } from './AppShell';
import { NotFoundPage, RouteError } from './fallbacks';
import { parseSearch, stringifySearch } from './search-params';
import { SignInRoute } from './SignInRoute';
import { VehicleLayout } from './VehicleLayout';

interface RouterContext {
  readonly queryClient: QueryClient;
}

type Params = Record<string, unknown>;

const rootRoute = createRootRouteWithContext<RouterContext>()({ notFoundComponent: NotFoundPage });

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: 'sign-in',
  validateSearch: (params: Params) => pick(params, ['next', 'reason']),
  beforeLoad: async ({ context, search }) => {
    const session = await context.queryClient.ensureQueryData(sessionQuery);
    if (session !== null) throw redirect({ href: safeNextPath(search.next), replace: true });
  },
  component: SignInRoute,
});

const signedInRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'signed-in',
  beforeLoad: async ({ context, location, cause }) => {
    const session = await context.queryClient.ensureQueryData(sessionQuery);
    if (session !== null) return { session };
    const search = {
      next: location.href === '/' ? '' : location.href,
      ...(cause === 'stay' ? { reason: 'expired' } : {}),
    };
    throw redirect({ to: '/sign-in', search, replace: true });
  },
  component: AppShell,
});

const fleetRoute = createRoute({
  getParentRoute: () => signedInRoute,
  path: '/',
  validateSearch: (params: Params) => pick(params, ['q', 'state', 'sort', 'vehicle', 'view']),
  component: lazyRouteComponent(() => import('./FleetRoute'), 'FleetRoute'),
});

const vehicleLayoutRoute = createRoute({
  getParentRoute: () => signedInRoute,
  path: 'vehicles/$vehicleId',
  component: VehicleLayout,
});

const vehicleRoute = createRoute({
  getParentRoute: () => vehicleLayoutRoute,
  path: '/',
  validateSearch: (params: Params) => pick(params, ['charts', 'minutes']),
  component: lazyRouteComponent(() => import('./VehicleRoute'), 'VehicleRoute'),
});

const trackRoute = createRoute({
  getParentRoute: () => vehicleLayoutRoute,
  path: 'track',
  validateSearch: (params: Params) => pick(params, ['from', 'to']),
  component: lazyRouteComponent(() => import('./TrackRoute'), 'TrackRoute'),
});

const routeTree = rootRoute.addChildren([
  signInRoute,
  signedInRoute.addChildren([fleetRoute, vehicleLayoutRoute.addChildren([vehicleRoute, trackRoute])]),
]);

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree,
    context: { queryClient },
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultPreloadStaleTime: 0,
    defaultPendingComponent: () => <Spinner label={text.loading} />,
    defaultErrorComponent: RouteError,
    defaultNotFoundComponent: NotFoundPage,
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}

/** The named parameters that are there, as text; all others are left out of the address. */
function pick<const Name extends string>(params: Params, names: readonly Name[]): { [name in Name]?: string } {
  const picked: { [name in Name]?: string } = {};
  for (const name of names) {
    const value = params[name];
    if (typeof value === 'string' && value !== '') picked[name] = value;
  }
  return picked;
}
