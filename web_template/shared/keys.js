/**
 * @file Single-letter keys, the dialog that lists them, and the way to turn them off (WCAG 2.1.4).
 *
 * They rest while a text field or a menu has the focus, while a dialog is open, and with Ctrl, Alt or Meta held.
 */

import { language, onLanguage, t } from './language.js';
import { byRole } from './state.js';

/** @typedef {{ key: string, does: string, role: string, press: () => void }} Shortcut `does`: English words, put through `t`; `role`: its button */

export class Keys {
  #enabled = true;
  #shortcuts;
  #dialog;

  /**
   * @param {Shortcut[]} shortcuts
   * @param {HTMLDialogElement} dialog holds a `<dl data-part="keys">`; `?` opens it
   */
  constructor(shortcuts, dialog) {
    this.#shortcuts = [...shortcuts, { key: '?', does: 'This list of keys', role: 'help', press: () => this.showHelp() }];
    this.#dialog = dialog;
    onLanguage(() => this.#list());
    document.addEventListener('keydown', (event) => this.#pressed(event));
  }

  /** Whether letters are keys; the buttons that they stand for say so to assistive technology. @param {boolean} enabled */
  set enabled(enabled) {
    this.#enabled = enabled;
    for (const { key, role } of this.#shortcuts) {
      const button = byRole(role, HTMLButtonElement);
      if (enabled) button.setAttribute('aria-keyshortcuts', key.toUpperCase());
      else button.removeAttribute('aria-keyshortcuts');
    }
  }

  /** Open the list of keys. */
  showHelp() {
    this.#list();
    this.#dialog.showModal();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (!this.#enabled || event.defaultPrevented || event.isComposing || event.repeat) return;
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    const shortcut = this.#shortcuts.find(({ key }) => key === event.key.toLowerCase());
    if (!shortcut) return;
    event.preventDefault();
    shortcut.press();
  }

  #list() {
    const list = this.#dialog.querySelector('[data-part="keys"]');
    if (!list || list.getAttribute('data-language') === language()) return;
    list.setAttribute('data-language', language());
    list.replaceChildren(...this.#shortcuts.map(({ key, does }) => {
      const row = document.createElement('div');
      const name = document.createElement('dt');
      const cap = document.createElement('kbd');
      const words = document.createElement('dd');
      cap.textContent = key.toUpperCase();
      words.textContent = t(does);
      name.append(cap);
      row.append(name, words);
      return row;
    }));
  }
}

/** Letters belong to whoever is writing, or choosing from a list by its first letter. @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'range', 'button', 'submit', 'file'].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}
