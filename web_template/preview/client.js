/**
 * @file What `webgpu-demo preview` adds to a page, ahead of the page's own script. A published site has none of it.
 */

import { refuseServiceWorker } from './newest.js';
import { reportRequests } from './outside.js';
import { answerFrame } from './probe.js';
import { followChanges } from './reload.js';
import { takeAway } from './without.js';

const asked = new URL(import.meta.url).searchParams;
const version = asked.get('version');

takeAway(asked.get('as'));
if (!asked.get('as')?.split(',').includes('space')) refuseServiceWorker();
reportRequests(location.pathname);
if (version !== null) followChanges(Number(version));
if (window.parent !== window) void answerFrame();
