/**
 * @file What `webgpu-demo preview` adds to a page's worker, ahead of the worker's own modules.
 */

import { reportRequests } from './outside.js';
import { takeAway } from './without.js';

takeAway(new URL(import.meta.url).searchParams.get('as'));
reportRequests(location.pathname);
