/**
 * @file The page's own list of things that photos show: what the album is tagged with. Page and worker.
 *
 * Everyday words of one meaning, which every image-text model knows. Their Chinese is in zh.js.
 */

/** @type {readonly string[]} */
export const LABELS = [
  'person', 'child', 'baby', 'crowd', 'portrait', 'selfie', 'wedding', 'birthday party', 'dancing', 'sports', 'swimming', 'skiing',
  'dog', 'cat', 'bird', 'horse', 'cow', 'sheep', 'fish', 'insect', 'butterfly', 'elephant', 'bear', 'duck',
  'flower', 'tree', 'forest', 'grass', 'garden', 'mushroom', 'leaves', 'beach', 'sea', 'lake', 'river', 'waterfall', 'mountain',
  'snow', 'desert', 'field', 'sky', 'clouds', 'sunset', 'night', 'rainbow', 'moon', 'stars', 'fireworks', 'rain', 'fog',
  'city', 'street', 'skyscraper', 'house', 'castle', 'church', 'bridge', 'tower', 'ruins', 'statue', 'market', 'museum',
  'kitchen', 'bedroom', 'bathroom', 'living room', 'office', 'restaurant', 'shop', 'stairs', 'window', 'door',
  'table', 'chair', 'sofa', 'bed', 'lamp', 'clock', 'mirror', 'book', 'newspaper', 'telephone', 'computer', 'television',
  'camera', 'musical instrument', 'guitar', 'piano', 'toy', 'ball', 'balloon', 'umbrella', 'hat', 'shoes', 'dress', 'glasses',
  'bag', 'box', 'bottle', 'cup', 'key', 'knife', 'tool', 'coin', 'candle', 'star',
  'car', 'truck', 'bus', 'train', 'bicycle', 'motorcycle', 'boat', 'ship', 'airplane', 'rocket', 'railway station', 'airport', 'road',
  'food', 'fruit', 'vegetables', 'bread', 'cake', 'pizza', 'soup', 'coffee', 'tea', 'wine', 'ice cream',
  'sign', 'text', 'document', 'map', 'screenshot', 'drawing', 'painting', 'pattern', 'black and white photo',
];

/** What the model is asked for a label. @param {string} label */
export const sentenceOf = (label) => `${/^[aeiou]/.test(label) ? 'an' : 'a'} ${label}`;
