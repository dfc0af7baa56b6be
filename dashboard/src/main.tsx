import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { exposePerf } from './lib/perf';
import { followTheme } from './lib/theme';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';

exposePerf();
followTheme();

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
