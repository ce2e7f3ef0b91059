/** @file Which questions a visitor may choose from: those that come with the model, or general ones. */

/** @import { Manifest, Prompt } from '../../shared/protocol.js' */

/** For models that say nothing about themselves: those that can caption anything can answer these. @type {Prompt[]} */
export const GENERAL = [
  { id: 'describe', label: 'Describe', text: 'Describe what you see.' },
  { id: 'read', label: 'Read the text', text: 'Read out all the text in the picture. If there is none, say so.' },
  { id: 'count', label: 'Count', text: 'Which things are in the picture, and how many of each?' },
  { id: 'hand', label: 'In my hand', text: 'What is the person holding in their hand?' },
  { id: 'expression', label: 'Expression', text: 'Describe the facial expression of the person.' },
  { id: 'way', label: 'In my way', text: 'Which things stand in the way of somebody who walks on from here?' },
];

/** @param {Manifest} manifest @returns {Prompt[]} */
export const presetsOf = ({ prompts }) => (prompts.length ? prompts : GENERAL);
