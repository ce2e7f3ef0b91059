/**
 * @file What is wrong with a template, over the page that was good before.
 */

/** @typedef {{ title: string, message: string, file: string, line: number | null, excerpt: [number, string][] }} Problem */

const TAG = 'webgpu-demo-problem';

/** @param {Problem} problem */
export function showProblem(problem) {
  hideProblem();
  const host = document.createElement(TAG);
  const root = host.attachShadow({ mode: 'open' });
  const sheet = document.createElement('link');
  sheet.rel = 'stylesheet';
  sheet.href = '/_preview/overlay.css';

  const panel = make('section', '');
  panel.setAttribute('role', 'alert');
  const where = problem.file ? `${problem.file}${problem.line === null ? '' : `, line ${problem.line}`}` : '';
  panel.append(make('h1', 'The page cannot be made'), make('p', problem.message, 'message'));
  if (where) panel.append(make('p', where, 'where'));
  if (problem.excerpt.length) panel.append(excerpt(problem));
  panel.append(make('p', 'This goes away by itself when the file is mended. Below is the page as it was before.', 'fine'));
  const hide = make('button', 'Look at it');
  hide.addEventListener('click', hideProblem);
  panel.append(hide);
  root.append(sheet, panel);
  document.documentElement.append(host);
}

/** Take the overlay away, if there is one. */
export function hideProblem() {
  document.querySelector(TAG)?.remove();
}

/** @param {Problem} problem */
function excerpt(problem) {
  const lines = make('pre', '');
  lines.tabIndex = 0;
  for (const [number, text] of problem.excerpt) {
    const line = make('code', '');
    line.append(make('span', String(number), 'number'), text || ' ');
    if (number === problem.line) line.className = 'here';
    lines.append(line);
  }
  return lines;
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [name] its class
 */
function make(tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}
