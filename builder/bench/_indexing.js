/** @file Put before every script of photo-search: notes when its worker has indexed a photo, could not, or has failed. */
globalThis.marks = [];
globalThis.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => {
      const what = data?.kind === 'event' ? data.event?.kind : data?.kind;
      const why = data?.error?.message ?? data?.event?.why ?? '';
      if (['indexed', 'unreadable', 'error'].includes(what)) globalThis.marks.push({ what, why, at_ms: performance.now() });
    });
  }
};
