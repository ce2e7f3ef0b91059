/**
 * @file Keeps the screen on while a page works. The browser lets go of it whenever the page is hidden; it is taken again.
 *
 * Where there is no wake lock (plain http, some frames, low battery) nothing happens: it is a comfort, not a need.
 */

let wanted = false;
/** @type {WakeLockSentinel | null} */
let held = null;

async function take() {
  if (!wanted || held || document.hidden || !navigator.wakeLock) return;
  const lock = await navigator.wakeLock.request('screen').catch(() => null);
  if (!lock) return;
  if (!wanted || held) return lock.release();
  held = lock;
  lock.onrelease = () => {
    if (held === lock) held = null;
  };
}

/** From now on the screen stays on. */
export function keepAwake() {
  wanted = true;
  void take();
}

/** From now on the device may sleep again. */
export function letSleep() {
  wanted = false;
  void held?.release();
  held = null;
}

document.addEventListener('visibilitychange', () => void take());
