/** @file Pictures made of numbers go through luma.js, frame-quality.js and gating.js. Argument: the web_template folder. */
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const root = pathToFileURL(process.argv[2] + '/').href;
const { FINE, changedShare, toLuma } = await import(root + 'shared/luma.js');
const { judgeFrame } = await import(root + 'shared/frame-quality.js');
const { SceneGate } = await import(root + 'pages/camera-caption/gating.js');

/** A bright square on a grey ground, `noise` grey levels of noise. */
function draw({ left = 20, top = 20, size = 40, light = 200, ground = 90, noise = 0, edge = 1 } = {}) {
  const rgba = new Uint8ClampedArray(FINE * FINE * 4).fill(255);
  let seed = 7;
  for (let y = 0; y < FINE; y += 1) {
    for (let x = 0; x < FINE; x += 1) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      const inside = Math.min(x - left, left + size - x, y - top, top + size - y);
      const share = Math.min(1, Math.max(0, inside / edge + 0.5));
      const grey = ground + share * (light - ground) + (seed / 2147483648 - 0.5) * 2 * noise;
      rgba.fill(grey, (y * FINE + x) * 4, (y * FINE + x) * 4 + 3);
    }
  }
  return toLuma(rgba);
}
const coarse = (options) => draw(options).coarse;

/** A ball of one colour; red and green ones here are the same grey. */
function ball(red, green, blue, warmer = 0) {
  const rgba = new Uint8ClampedArray(FINE * FINE * 4).fill(255);
  for (let i = 0; i < FINE * FINE; i += 1) {
    const inside = Math.hypot((i % FINE) - 64, Math.floor(i / FINE) - 64) < 20;
    rgba.set(inside ? [red, green, blue] : [90 + warmer, 90, 90 - warmer], 4 * i);
  }
  return toLuma(rgba).coarse;
}

// the same picture, with noise or a little brighter, has not changed; a thing that moved has
assert.equal(changedShare(coarse(), coarse({ noise: 12 })), 0);
assert.equal(changedShare(coarse(), coarse({ ground: 100, light: 210 })), 0);
assert.ok(changedShare(coarse(), coarse({ left: 30 })) > 0.03);
assert.ok(changedShare(coarse({ size: 0 }), coarse({ size: 13 })) > 0.008, 'a thing a tenth as wide as the picture');

assert.ok(changedShare(ball(255, 40, 40), ball(40, 150, 40)) > 0.03, 'a red ball has become a green one of the same grey');
assert.equal(changedShare(ball(255, 40, 40), ball(250, 44, 40, 5)), 0, 'the white balance drifts');

assert.equal(judgeFrame(draw().fine), '');
assert.equal(judgeFrame(draw({ noise: 10 }).fine), '');
assert.equal(judgeFrame(draw({ ground: 8, light: 14 }).fine), 'covered');
assert.equal(judgeFrame(draw({ ground: 12, light: 70 }).fine), 'dark');
assert.equal(judgeFrame(draw({ ground: 5, light: 250 }).fine), '', 'a lamp in the night can be seen');
assert.equal(judgeFrame(draw({ edge: 16 }).fine), 'blurred');
assert.equal(judgeFrame(draw({ ground: 150, light: 155 }).fine), '', 'a wall is not blurred');

// while it rests nothing is asked; while it moves briefly; when it has come to rest once more, at length
const gate = new SceneGate();
let now = 0;
const look = (options) => gate.look(coarse(options), (now += 200));
assert.equal(look(), 'resting');
gate.taken(coarse(), false);
const first = gate.scene;
for (let i = 0; i < 5; i += 1) assert.equal(look({ noise: 5 }), 'same');
assert.equal(look({ left: 60, top: 60, size: 60 }), 'moving');
gate.taken(coarse({ left: 60, top: 60, size: 60 }), true);
assert.notEqual(gate.scene, first);
const second = gate.scene;
assert.equal(look({ left: 60, top: 60, size: 60 }), 'same');
now += 400;
assert.equal(look({ left: 60, top: 60, size: 60 }), 'resting');
gate.taken(coarse({ left: 60, top: 60, size: 60 }), false);
assert.equal(gate.scene, second, 'the same scene at more length');
assert.equal(look({ left: 60, top: 60, size: 60 }), 'same');
now += 5000;
assert.equal(look(), 'unclear', 'two looks far apart say nothing about movement');
gate.forget();
assert.equal(look(), 'resting');
