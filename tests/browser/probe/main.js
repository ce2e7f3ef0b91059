/**
 * @file The smallest page that keeps the page contract, for tests of what all pages share. What happens to it is noted
 * in `window.probe`.
 */

import { openSession } from '../../shared/session.js';
import { keepAwake, letSleep } from '../../shared/wake.js';

const probe = { session: null, notes: [], keepAwake, letSleep };
Object.assign(window, { probe });
const pageNumber = new URLSearchParams(location.search).get('recycle');
const worker = new URL('./worker.js', import.meta.url);
worker.search = new URLSearchParams({ refuse: new URLSearchParams(location.search).get('refuse') ?? '' }).toString();

void openSession({
  worker,
  sources: () => [],
  allowVideoUrl: false,
  recycle_after: Number(pageNumber ?? 0),
  onOffer(session) {
    probe.session = session;
  },
  onReady() {
    probe.notes.push('ready');
  },
  onLost() {
    probe.notes.push('lost');
  },
  async onRecycled(request) {
    const { embedded } = await request('embed', { text: 'put back' });
    probe.notes.push(`recycled ${embedded}`);
  },
  onSmaller() {
    probe.notes.push('smaller');
  },
  onDelete() {
    probe.notes.push('deleted');
  },
});
