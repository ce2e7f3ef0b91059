/**
 * @file The page of questions that `webgpu-demo doctor` opens in each browser: what it says of WebGPU, sent back.
 */

/** @returns {Promise<Record<string, unknown>>} */
async function look() {
  const version = /(?:Edg|Firefox|Chrome|Version)\/([\d.]+)/.exec(navigator.userAgent)?.[1] ?? 'unknown version';
  const known = { version, webgpu: Boolean(navigator.gpu), secure: isSecureContext };
  if (!navigator.gpu) return known;
  try {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter === null) return { ...known, adapter: false };
    const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
    return {
      ...known,
      adapter: true,
      software: isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${architecture} ${description}`),
      shader_f16: adapter.features.has('shader-f16'),
      gpu: [vendor, architecture, description].filter(Boolean).join(' '),
      largest_buffer_bytes: adapter.limits.maxStorageBufferBindingSize,
    };
  } catch (error) {
    return { ...known, adapter: false, why: String(error) };
  }
}

void look().then((answer) => fetch('/', { method: 'POST', body: JSON.stringify(answer) }));
