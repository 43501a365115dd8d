/** Takes photographs of palms: dropped, pasted, chosen, or taken with a camera. */

import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { Camera } from "./camera.js";

export const ACCEPTED = "image/png,image/jpeg,image/bmp,image/tiff,image/webp";

/**
 * @param {{onFiles: (files: File[], fromCamera: boolean) => void, several?: boolean,
 *   folder?: boolean, camera?: boolean, stay?: boolean, film?: boolean, disabled?: boolean,
 *   capture?: string, describedby?: string}} props
 *   `onFiles` gets one file or more, in any format: the service says what it does not accept.
 *   `several` allows more than one at a time; `folder` offers folders and no camera; `stay` keeps
 *   the camera open after a photograph; `film` opens it at once; `capture` is sent with what the
 *   camera's guidance asks; `describedby` is the id of what is wrong with the images.
 */
export function PalmInput({ onFiles, several = false, folder = false, camera = true, stay = false,
  film = false, disabled = false, capture = "", describedby = null }) {
  const [over, setOver] = useState(false);
  const [filming, setFilming] = useState(film);
  const give = (files, fromCamera = false) => {
    if (disabled || files.length === 0) return;
    onFiles(several || folder ? files : files.slice(0, 1), fromCamera);
  };
  usePaste(give);
  const drop = {
    onDragOver: (event) => {
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: () => setOver(false),
    onDrop: async (event) => {
      event.preventDefault();
      setOver(false);
      give(await filesDropped(event.dataTransfer));
    },
  };
  if (filming) {
    return html`<${Camera} capture=${capture} onClose=${() => setFilming(false)}
      onPhoto=${(photo) => {
        if (!stay) setFilming(false);
        give([photo], true);
      }} />`;
  }
  const text = texts.input;
  return html`<div class=${`drop ${over ? "drop-over" : ""}`} role="group"
    aria-label=${text.label} ...${drop}>
    <p class="drop-lead">${folder ? text.dropFolder : several ? text.dropSeveral : text.drop}</p>
    <div class="row">
      ${folder && html`<${FileButton} folder
        label=${text.chooseFolder} primary ...${{ give, disabled, describedby }} />`}
      <${FileButton} several=${several || folder} primary=${!folder}
        ...${{ give, disabled, describedby }}
        label=${several || folder ? text.chooseSeveral : text.choose} />
      ${camera && !folder && html`<button type="button" disabled=${disabled}
        onClick=${() => setFilming(true)}>${text.camera}</button>`}
    </div>
    <div class="hint"><p>${text.hint}</p><p>${text.veins}</p></div>
  </div>`;
}

function FileButton({ label, give, folder = false, several = false, ...look }) {
  const { primary, disabled, describedby } = look;
  const field = useRef(null);
  useEffect(() => {
    field.current.webkitdirectory = folder;
  }, [folder]);
  const take = ({ target }) => {
    const files = [...target.files];
    target.value = ""; // so that the same file can be chosen again
    give(files);
  };
  return html`<label class=${`button file-button ${primary ? "primary" : ""}`}>
    <input ref=${field} type="file" accept=${folder ? null : ACCEPTED} multiple=${several || folder}
      disabled=${disabled} aria-describedby=${describedby} onChange=${take} />${label}
  </label>`;
}

/** Gives the images that are pasted anywhere on the page. */
function usePaste(give) {
  const latest = useRef(give);
  latest.current = give;
  useEffect(() => {
    const paste = (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) event.preventDefault();
      latest.current(files);
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, []);
}

/** Returns all files that were dropped, also those in folders, each with its path in them. */
async function filesDropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    return [Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.slice(1) })];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // it returns at most 100 entries a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesIn))).flat();
}
