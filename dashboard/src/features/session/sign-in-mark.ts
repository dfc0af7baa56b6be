const KEY = 'fleetwire.signed-in';

// The session's cookie is hidden from scripts. This mark says whether asking the server is worth it: a new visitor's
// sign-in page then starts without a refused request.

export function mayBeSignedIn(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return true;
  }
}

export function markSignedIn(isSignedIn: boolean): void {
  try {
    if (isSignedIn) localStorage.setItem(KEY, '1');
    else localStorage.removeItem(KEY);
  } catch {
    // Storage is off: the server is asked each time.
  }
}
