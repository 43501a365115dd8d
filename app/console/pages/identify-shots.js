/** The images of one palm that were sent, with the palm that was found in each. */

import { PalmPicture } from "../parts/palm-picture.js";
import { texts } from "../texts.js";
import { html, useState } from "../ui.js";

/** @param {{files: File[], regions: object[]}} props `regions` in the order of the files */
export function Shots({ files, regions }) {
  const [at, setAt] = useState(0);
  const shown = Math.min(at, files.length - 1);
  const text = texts.identify;
  return html`<figure class="shots">
    <${PalmPicture} file=${files[shown]} region=${regions[shown]} />
    <figcaption class="row spread">
      <span class="file-name">${files[shown].name}</span>
      ${regions[shown] && html`<span class="hint">${text.seenAs(regions[shown])}</span>`}
    </figcaption>
    ${files.length > 1 && html`<div class="row" role="group" aria-label=${text.images}>
      ${files.map((file, i) => html`<button type="button" key=${i}
        aria-pressed=${i === shown ? "true" : "false"}
        onClick=${() => setAt(i)}>${text.imageNumber(i + 1)}</button>`)}
    </div>`}
  </figure>`;
}
