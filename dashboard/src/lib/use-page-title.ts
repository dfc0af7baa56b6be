import { useEffect } from 'react';
import { text } from './text';

/** The browser tab's name, which is also what a screen reader says first. */
export function usePageTitle(name: string): void {
  useEffect(() => {
    document.title = `${name} · ${text.product}`;
  }, [name]);
}
