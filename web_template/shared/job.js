/** @file What a worker is told for loading a model: addresses, all of them absolute, and which files are whose. */

/** @import { FileEntry, LoadJob, Manifest, PageConfig, Plan, SiteManifest } from './protocol.js' */

import { absolute, modelFolder } from './config.js';

/** All files that a page may ever keep. @param {Manifest} manifest @param {SiteManifest | null} site @returns {FileEntry[]} */
export function pageFiles(manifest, site) {
  const graphs = Object.values(manifest.components).flatMap((dtypes) => Object.values(dtypes).flatMap((variant) => [variant, ...variant.data]));
  const files = [...graphs, ...manifest.files, ...(site?.files ?? []).filter(({ path }) => path.endsWith('.wasm'))];
  return files.map(({ path, size_bytes, sha256 }) => ({ path, size_bytes, sha256 }));
}

/** What a plan needs that is kept between visits; scripts are in the browser's own cache. @param {Plan} plan */
export const keptFiles = ({ model_files, runtime_files }) => [...model_files, ...runtime_files.filter(({ path }) => path.endsWith('.wasm'))];

/**
 * @param {{ config: PageConfig, manifest: Manifest, plan: Plan, server: boolean }} session `server`: it runs the model
 * @param {SiteManifest | null} site
 * @returns {LoadJob}
 */
export function loadJob({ config, manifest, plan, server }, site) {
  return {
    plan,
    manifest,
    model_name: config.model.name,
    models_url: modelFolder(config),
    site_url: absolute('./'),
    page_url: absolute('./'),
    page_files: pageFiles(manifest, site),
    transformers_url: absolute(config.runtime.transformers),
    ort_url: absolute(config.runtime.ort),
    server: server && config.server ? { url: config.server.url, client_url: absolute(config.server.client) } : null,
  };
}
