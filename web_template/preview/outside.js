/**
 * @file Reports requests to other addresses than this server, as the browser lists them, for the preview's counter.
 *
 * What the Content Security Policy refused is listed too, and did not leave: it is reported as refused.
 */

const GATHER_MS = 500;

/** @param {string} page who asked, for the log */
export function reportRequests(page) {
  /** @type {Set<string>} */
  const refused = new Set();
  /** @type {string[]} */
  let asked = [];
  /** @type {string[]} */
  let blocked = [];
  let waiting = false;

  const flush = () => {
    waiting = false;
    const left = asked.filter((url) => !refused.has(url) && !refused.has(new URL(url).origin));
    const requests = [
      ...left.map((url) => ({ url, refused: false })),
      ...blocked.map((url) => ({ url, refused: true })),
    ];
    asked = [];
    blocked = [];
    if (!requests.length) return;
    const body = JSON.stringify({ page, requests });
    fetch('/_preview/report', { method: 'POST', body, keepalive: true }).catch(() => {
      // The server has been stopped: there is nobody left to tell.
    });
  };
  const gather = () => {
    if (!waiting) setTimeout(flush, GATHER_MS);
    waiting = true;
  };

  addEventListener('securitypolicyviolation', (event) => {
    if (!isElsewhere(event.blockedURI)) return;
    refused.add(event.blockedURI);
    blocked.push(event.blockedURI);
    gather();
  });
  new PerformanceObserver((list) => {
    const elsewhere = list.getEntries().map((entry) => entry.name).filter(isElsewhere);
    asked.push(...elsewhere);
    if (elsewhere.length) gather();
  }).observe({ type: 'resource', buffered: true });
}

/** @param {string} address */
function isElsewhere(address) {
  if (!URL.canParse(address)) return false;
  const { protocol, origin } = new URL(address);
  return /^(https?|wss?):$/.test(protocol) && origin !== location.origin;
}
