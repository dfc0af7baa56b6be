import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useParams } from '@tanstack/react-router';
import { Truck } from 'lucide-react';
import { buttonClass } from '@/components/Button/button-class';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { vehicleQuery } from '@/features/vehicle/vehicle-api';
import { VehicleHeader } from '@/features/vehicle/VehicleHeader';
import { isNotFound } from '@/lib/api/problem';
import { text } from '@/lib/text';
import styles from './VehicleLayout.module.css';

/** What the pages of one vehicle have in common: its header, or that there is no such vehicle. */
export function VehicleLayout() {
  const { vehicleId } = useParams({ from: '/signed-in/vehicles/$vehicleId' });
  const vehicle = useQuery(vehicleQuery(vehicleId));
  if (isNotFound(vehicle.error)) {
    return (
      <EmptyState icon={Truck} title={text.vehicle.notFoundTitle} hint={text.vehicle.notFoundHint(vehicleId)} isPage>
        <Link to="/" className={buttonClass('plain')}>
          {text.notFound.back}
        </Link>
      </EmptyState>
    );
  }
  return (
    <div key={vehicleId} className={styles['layout']}>
      <VehicleHeader id={vehicleId} known={vehicle.data} />
      <div className={styles['body']}>
        <Outlet />
      </div>
    </div>
  );
}
