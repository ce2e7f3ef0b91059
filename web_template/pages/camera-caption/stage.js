/**
 * @file What is on the page before there is a model: settings, the picture, and the choice of where it comes from.
 */

import { byRole, say } from '../../shared/state.js';
import { SourcePicker } from './picker.js';
import { Settings } from './settings.js';
import { Source } from './sources.js';

export const params = new URLSearchParams(location.search);
export const settings = new Settings(params);
export const source = new Source(byRole('video', HTMLVideoElement), byRole('still', HTMLCanvasElement));
export const picker = new SourcePicker(source, settings);
source.onLost = (error) => say(error.what);
