/**
 * @file Put before every script of a page: notes when its worker is asked for a caption, gives the first words of it, and
 * is done. Messages are read on their way, of ours ({id, type: 'caption'} ... {id, kind}) and of the minimal page's.
 */
globalThis.marks = [];
globalThis.Worker = class extends Worker {
  #ids = new Set();
  #begun = false;

  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => this.#note(data ?? {}));
  }

  postMessage(data, ...rest) {
    if (data?.type === 'caption' || data?.type === 'generate') {
      if (data.id !== undefined) this.#ids.add(data.id);
      this.#begun = false;
      mark('asked');
    }
    super.postMessage(data, ...rest);
  }

  #note({ id, kind, type, event, message, error }) {
    const ours = this.#ids.has(id);
    const text = (ours && kind === 'event' && event?.kind === 'text') || type === 'text';
    if (text && !this.#begun) mark('text');
    this.#begun ||= text;
    if ((ours && kind === 'done') || type === 'done') mark('done');
    if ((ours && kind === 'error') || type === 'error') mark('error', String(message ?? error?.message ?? error));
  }
};
const mark = (what, why = '') => globalThis.marks.push({ what, why, at_ms: performance.now() });
