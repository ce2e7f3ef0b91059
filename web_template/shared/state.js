/**
 * @file What every page shows: its state, its one-line status, its error. All of it is read by CSS and by tests.
 *
 * State lives in two attributes of <html> and nowhere else: `data-state` and `data-model`.
 */

/** @import { ModelState, State, Text } from './protocol.js' */

import { onLanguage, t } from './language.js';

const root = document.documentElement;

/** What a visitor most likely wants next. Few of these are visible in any one state; the first on the page counts. */
const NEXT_CONTROL = '[data-part="retry"], [data-role="start"], [data-role="cancel"], [data-role="pause"], [data-role="query"]';

/** @param {State} state */
export function setState(state) {
  keepFocus(() => {
    root.dataset.state = state;
  });
}

/** Changes that are under way: of several inside each other the outermost one sees what is left in the end. */
let changing = 0;

/**
 * Change what is shown; who was on a control that goes away by it goes on at another.
 *
 * @param {() => void} change
 * @param {HTMLElement} [next] where to, if it can be seen then
 */
export function keepFocus(change, next) {
  const held = document.activeElement;
  changing += 1;
  change();
  changing -= 1;
  if (changing || !held || held === document.body || !isGone(held)) return;
  if (next && !isGone(next)) next.focus();
  else passFocus();
}

/** Not checkVisibility(): Safari has it from 17.4 on only. @param {Element} element */
const isGone = (element) => element.getClientRects().length === 0;

/** Who works without a mouse would start at the top of the page again each time that a button goes away under them. */
function passFocus() {
  const next = [...document.querySelectorAll(NEXT_CONTROL)].find((control) => !isGone(control));
  if (next instanceof HTMLElement) next.focus();
  else byRole('language', HTMLElement).focus(); // which every page has
}

/** @returns {State} */
export const getState = () => /** @type {State} */ (root.dataset.state);

/** @param {ModelState} model */
export function setModelState(model) {
  root.dataset.model = model;
}

/**
 * Find the element with this data-role.
 *
 * @template {Element} T
 * @param {string} role
 * @param {new () => T} type what it has to be
 * @returns {T}
 * @throws {TypeError} when the page's HTML lacks it
 */
export function byRole(role, type) {
  const element = document.querySelector(`[data-role="${role}"]`);
  if (!(element instanceof type)) throw new TypeError(`The page has no ${type.name} with data-role="${role}".`);
  return element;
}

/** What the page shows, to be said again when the language changes. @type {{ status: Text | (() => string), problem: Problem | null }} */
const shown = { status: '', problem: null };
onLanguage(() => {
  say(shown.status);
  if (shown.problem) writeProblem(shown.problem);
});

/**
 * Say in one line what the page is doing. The element is a polite live region.
 *
 * @param {Text | (() => string)} text a function is called again when the language changes
 */
export function say(text) {
  shown.status = text;
  const status = byRole('status', HTMLElement);
  const words = typeof text === 'function' ? text() : t(text);
  if (status.textContent !== words) status.textContent = words;
}

/**
 * A failure in words for the visitor.
 *
 * @typedef {{
 *   title: Text,
 *   what: Text,
 *   todo: Text,
 *   action?: Text,
 *   retry: () => void,
 *   other?: { words: Text, action: Text, run: () => void } | null,
 * }} Problem `what` happened, what `todo` about it, the label of the button and what it does; `other`: another way out
 */

/** An error that already knows its words. */
export class PageError extends Error {
  /** @param {{ title: Text, what: Text, todo: Text }} words @param {unknown} [cause] */
  constructor({ title, what, todo }, cause) {
    super(t(what), { cause });
    this.name = 'PageError';
    this.title = title;
    this.what = what;
    this.todo = todo;
  }
}

/**
 * Show what happened, what to do, and a button that tries again. The page is in state `error` until then.
 *
 * @param {Problem} problem
 */
export function showProblem(problem) {
  shown.problem = problem;
  const box = byRole('error', HTMLElement);
  writeProblem(problem);
  const { retry, other } = problem;
  for (const [name, run] of /** @type {const} */ ([['retry', retry], ['other', other?.run]])) {
    const button = part(box, name);
    button.hidden = !run;
    button.onclick = () => {
      clearProblem();
      run?.();
    };
  }
  box.hidden = false;
  setState('error');
  say(problem.title);
}

/** @param {Problem} problem */
function writeProblem({ title, what, todo, action = 'Try again', other }) {
  const box = byRole('error', HTMLElement);
  const texts = { title, what, todo, retry: action, 'other-words': other?.words ?? '', other: other?.action ?? '' };
  for (const [name, text] of Object.entries(texts)) part(box, name).textContent = t(text);
}

export function clearProblem() {
  shown.problem = null;
  byRole('error', HTMLElement).hidden = true;
}

/**
 * Find a named part inside an element that carries a role.
 *
 * @param {ParentNode} parent
 * @param {string} name
 * @returns {HTMLElement}
 */
export function part(parent, name) {
  const element = parent.querySelector(`[data-part="${name}"]`);
  if (!(element instanceof HTMLElement)) throw new TypeError(`The page has no element with data-part="${name}".`);
  return element;
}

/** Megabytes with one decimal, as download sizes are usually given (1 MB = 1,000,000 bytes). @param {number} bytes */
export const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
