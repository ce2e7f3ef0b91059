/** @file Radio buttons in a row, made by script; their looks are shared/style.css's, their frame is _macros.html's. */

/** Where the buttons of a `choices` fieldset go. @param {HTMLElement} fieldset */
export const optionsOf = (fieldset) => fieldset.querySelector('div') ?? fieldset;

/** @param {string} name @param {string} value @param {string} label @param {boolean} checked */
export function makeChoice(name, value, label, checked) {
  const wrapper = document.createElement('label');
  const input = Object.assign(document.createElement('input'), { type: 'radio', name, value, checked });
  const text = document.createElement('span');
  text.textContent = label;
  wrapper.append(input, text);
  return wrapper;
}
