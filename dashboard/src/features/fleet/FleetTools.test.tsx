import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';
import { vehicleView } from '@/testing/vehicles';
import { fromSearch } from './fleet-view';
import { FleetTools } from './FleetTools';

const view = fromSearch({});
const vehicles = [vehicleView({ id: 'a', state: 'driving' }), vehicleView({ id: 'b', state: 'driving' })];

test('counts stand on the filters, and one can be chosen', async () => {
  const onView = vi.fn();
  render(<FleetTools view={view} onView={onView} vehicles={vehicles} shown={2} />);
  await userEvent.click(screen.getByRole('button', { name: '2 Driving' }));
  expect(onView).toHaveBeenCalledWith({ ...view, states: ['driving'] });
});

test('typing searches', async () => {
  const onView = vi.fn();
  render(<FleetTools view={view} onView={onView} vehicles={vehicles} shown={1} />);
  await userEvent.type(screen.getByRole('searchbox', { name: 'Search vehicles' }), 'v');
  expect(onView).toHaveBeenCalledWith({ ...view, query: 'v' });
  expect(screen.getByText('1 of 2 vehicles')).toBeDefined();
});
