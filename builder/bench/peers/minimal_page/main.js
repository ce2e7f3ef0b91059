/**
 * @file The page that a tutorial would have: the camera here, the model in a worker, one frame after the other.
 * The address names what to load: ?model=NAME&dtype={...}&prompt=...&tokens=N&device=wasm
 */

const video = document.getElementById('video');
const caption = document.getElementById('caption');
const status = document.getElementById('status');
const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });
const worker = new Worker('worker.js', { type: 'module' });

function captionNext() {
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  context.drawImage(video, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  caption.dataset.done = 'false';
  worker.postMessage({ type: 'generate', data, width, height }, [data.buffer]);
}

worker.onmessage = ({ data: { type, text, message } }) => {
  if (type === 'ready') {
    status.textContent = 'Ready';
    captionNext();
  } else if (type === 'text') {
    caption.textContent = text;
  } else if (type === 'done') {
    caption.textContent = text;
    caption.dataset.done = 'true';
    captionNext();
  } else if (type === 'error') {
    status.textContent = message;
    document.documentElement.dataset.state = 'error';
  }
};

const asked = new URLSearchParams(location.search);
video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
await video.play();
worker.postMessage({
  type: 'load',
  model: asked.get('model'),
  dtype: JSON.parse(asked.get('dtype')),
  device: asked.get('device'),
  prompt: asked.get('prompt'),
  max_new_tokens: Number(asked.get('tokens')),
});
