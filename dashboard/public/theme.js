// Runs before the first paint, so that a dark theme never flashes white. The same key is read in src/lib/theme.ts.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem('fleetwire.theme');
  } catch (_) {
    /* storage is off: follow the system */
  }
  var dark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
