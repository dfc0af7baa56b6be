import { useEffect, useLayoutEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import styles from './UplotCanvas.module.css';

interface UplotCanvasProps {
  readonly label: string;
  readonly height: number;
  /** A new object makes a new chart: keep it the same while only the data moves. */
  readonly options: Omit<uPlot.Options, 'width' | 'height'>;
  readonly data: uPlot.AlignedData;
  /** First and last second on the x axis; without it, as far as the data goes. */
  readonly span?: readonly [number, number];
}

/** uPlot in React: as wide as its parent, drawn again when the data changes. */
export function UplotCanvas({ label, height, options, data, span }: UplotCanvasProps) {
  const frame = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const newest = useRef({ data, span });

  useLayoutEffect(() => {
    const element = frame.current as HTMLDivElement;
    const range: uPlot.Range.Function = (_, min, max) => [...(newest.current.span ?? [min, max])];
    const scales = { ...options.scales, x: { time: true, range } };
    const size = { width: Math.max(80, element.clientWidth), height };
    const created = new uPlot({ ...options, ...size, scales }, newest.current.data, element);
    chart.current = created;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) created.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      created.destroy();
      chart.current = null;
    };
  }, [options, height]);

  useEffect(() => {
    newest.current = { data, span };
    chart.current?.setData(data);
  }, [data, span]);

  return <div ref={frame} className={styles['frame']} style={{ height }} role="img" aria-label={label} />;
}
