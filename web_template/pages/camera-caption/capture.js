/** @file What a page may look at, as far as browsers tell before they are asked. */

export const inFrame = () => window.self !== window.top;

/**
 * Whether a page that lies in a frame of another page was given this there; undefined where browsers do not tell.
 *
 * @param {string} feature
 * @returns {boolean | undefined}
 */
export function framePasses(feature) {
  const policy = /** @type {any} */ (document).permissionsPolicy ?? /** @type {any} */ (document).featurePolicy;
  return inFrame() ? policy?.allowsFeature?.(feature) : true;
}

/** Sharing a screen: phones have none of it, and a frame may forbid it. */
export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia) && framePasses('display-capture') !== false;
