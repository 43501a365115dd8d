/** A file that this page made, to be saved. */

import { html, useMemo } from "../ui.js";
import { useFileUrl } from "./palm-picture.js";

/** @param {{name: string, type: string, content: string, primary?: boolean, children: any}} props */
export function Download({ name, type, content, primary = false, children }) {
  const file = useMemo(() => new Blob([content], { type }), [content, type]);
  const url = useFileUrl(file);
  return html`<a class=${`button ${primary ? "primary" : ""}`} download=${name} href=${url}>${children}</a>`;
}
