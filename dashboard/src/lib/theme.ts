import { create } from 'zustand';

export const THEME_CHOICES = ['system', 'light', 'dark'] as const;
export type ThemeChoice = (typeof THEME_CHOICES)[number];
export type Theme = 'light' | 'dark';

const KEY = 'fleetwire.theme';
const systemIsDark = () => matchMedia('(prefers-color-scheme: dark)');

interface ThemeStore {
  readonly choice: ThemeChoice;
  readonly theme: Theme;
  readonly choose: (choice: ThemeChoice) => void;
}

export const useTheme = create<ThemeStore>((set) => ({
  choice: storedChoice(),
  theme: resolve(storedChoice()),
  choose: (choice) => {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Storage is off: the choice holds for this page.
    }
    set({ choice, theme: resolve(choice) });
  },
}));

/** Keeps the document's theme equal to the store's, and the store's to the system's where that was chosen. */
export function followTheme(): void {
  const apply = ({ theme }: ThemeStore) => {
    document.documentElement.dataset['theme'] = theme;
  };
  apply(useTheme.getState());
  useTheme.subscribe(apply);
  systemIsDark().addEventListener('change', () => {
    const { choice } = useTheme.getState();
    useTheme.setState({ theme: resolve(choice) });
  });
}

function storedChoice(): ThemeChoice {
  try {
    const stored = localStorage.getItem(KEY);
    return THEME_CHOICES.find((choice) => choice === stored) ?? 'system';
  } catch {
    return 'system';
  }
}

function resolve(choice: ThemeChoice): Theme {
  return choice === 'system' ? (systemIsDark().matches ? 'dark' : 'light') : choice;
}
