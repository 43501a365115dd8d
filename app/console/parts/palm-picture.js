/** An image with the palm that the service found in it. */

import { texts } from "../texts.js";
import { html, useEffect, useState } from "../ui.js";

/** Returns an address for a file, for as long as the component is shown. */
export function useFileUrl(file) {
  const [url, setUrl] = useState(null);
  useEffect(() => {
    const made = file && URL.createObjectURL(file);
    setUrl(made);
    return () => made && URL.revokeObjectURL(made);
  }, [file]);
  return url;
}

/**
 * Draws the palm's square and the finger gaps over what lies below; see `Region` in /docs.
 * @param {{region: ?{corners: number[][], gaps: number[][]}, usable?: boolean}} props
 */
export function PalmOverlay({ region, usable = true }) {
  if (!region) return null;
  const { corners, gaps } = region;
  const at = (points) => points.map(([x, y]) => `${x},${y}`).join(" ");
  return html`<svg class=${`overlay ${usable ? "usable" : "unusable"}`} viewBox="0 0 1 1"
      preserveAspectRatio="none" aria-hidden="true">
    <polygon class="halo" points=${at(corners)} /><polygon points=${at(corners)} />
    <polyline class="fingers" points=${at(corners.slice(0, 2))} />
    ${gaps.map(([x, y]) => html`<path class="gap" d=${`M${x} ${y}h0`} />`)}
  </svg>`;
}

/**
 * Shows an image file, or its name if the browser cannot show the format.
 * @param {{file: File, region?: object, usable?: boolean, label?: string}} props
 */
export function PalmPicture({ file, region = null, usable = true, label = texts.picture.alt }) {
  const url = useFileUrl(file);
  const [size, setSize] = useState(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    setSize(null);
    setFailed(false);
  }, [file]);
  if (failed) {
    return html`<div class="picture picture-unknown">
      <p><strong>${file.name}</strong></p><p class="hint">${texts.picture.cannotShow}</p>
    </div>`;
  }
  // The box has exactly the image's shape, so that the overlay lies right.
  const shape = size && { aspectRatio: `${size.w} / ${size.h}`, "--shape": size.w / size.h };
  return html`<div class="picture" style=${shape}>
    ${url && html`<img src=${url} alt=${label} onError=${() => setFailed(true)}
      onLoad=${({ target }) => setSize({ w: target.naturalWidth, h: target.naturalHeight })} />`}
    ${size && html`<${PalmOverlay} region=${region} usable=${usable} />`}
  </div>`;
}
