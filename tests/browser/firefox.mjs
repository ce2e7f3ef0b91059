/**
 * @file Drives Firefox for the tests, which Playwright cannot do with the system's own: jobs come in as lines of JSON,
 * answers go out as lines of JSON. Arguments: web_template's folder, Firefox's executable, a Vulkan driver's file.
 */
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [template, executablePath, driver] = process.argv.slice(2);
const puppeteer = createRequire(pathToFileURL(`${template}/`))('puppeteer-core');
const browser = await puppeteer.launch({
  browser: 'firefox',
  executablePath,
  headless: true,
  protocolTimeout: 600_000,
  env: { ...process.env, VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver },
  // A software driver is what there is; Firefox has WebGPU for it, 16-bit arithmetic included, when told so.
  extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true },
});
const page = await browser.newPage();

/** @type {Record<string, (job: any) => Promise<unknown>>} */
const jobs = {
  open: ({ url }) => page.goto(url).then(() => null),
  wait: ({ selector, seconds }) => page.waitForSelector(selector, { timeout: seconds * 1000 }).then(() => null),
  evaluate: ({ source, argument }) => page.evaluate(`(${source})(${JSON.stringify(argument ?? null)})`),
  screenshot: ({ path }) => page.screenshot({ path }).then(() => null),
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    const answer = await jobs[job.do](job).then((value) => ({ value }), (error) => ({ error: String(error) }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
} finally {
  await browser.close();
}
