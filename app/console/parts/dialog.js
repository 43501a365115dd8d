/** A native modal dialog: the browser keeps the focus in it, and Escape closes it. */

import { html, useEffect, useId, useRef } from "../ui.js";

/**
 * @param {{title: string, onClose: () => void, children: any}} props it is shown as long as the
 *   component is; `onClose` is called when the user leaves it
 */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose}
    onCancel=${(event) => {
      event.preventDefault();
      onClose();
    }}>
    <div class="stack"><h2 id=${id}>${title}</h2>${children}</div>
  </dialog>`;
}
