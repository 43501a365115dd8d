/** A camera that says what to change until the palm can be used, then takes a photograph. */

import { call } from "../api.js";
import { may } from "../session.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { PalmOverlay } from "./palm-picture.js";
import { ProblemNotice } from "./problem.js";

const GUIDE_EVERY_MS = 300;
const GUIDE_PX = 1280; // longer side of what is inspected: enough to measure sharpness
const IDEAL = { width: { ideal: 1920 }, height: { ideal: 1080 } };
const GOOD_IN_A_ROW = 2; // of a hand that moves through the picture, one may be good by chance
const RETRY_MS = 2000;

/**
 * @param {{onPhoto: (photo: File) => void, onClose: () => void, capture?: string}} props
 */
export function Camera({ onPhoto, onClose, capture = "" }) {
  const video = useRef(null);
  const [device, setDevice] = useState("");
  const { devices, failure, running } = useStream(video, device);
  const { found, problem } = useGuidance(video, running, capture);
  const [byItself, setByItself] = useState(false);
  const shutter = useRef(null);
  useEffect(() => running && shutter.current?.focus(), [running]);

  async function take() {
    const blob = await grab(video.current, Infinity, 0.95);
    const name = `camera-${new Date().toISOString().replace(/[:.]/g, "-")}.jpg`;
    onPhoto(new File([blob], name, { type: blob.type }));
  }

  const good = useRef(0); // answers in a row that call the palm usable
  useEffect(() => {
    good.current = found?.usable ? good.current + 1 : 0;
    if (byItself && good.current >= GOOD_IN_A_ROW) {
      good.current = 0;
      take();
    }
  }, [found, byItself]);

  const text = texts.camera;
  if (failure) {
    return html`<div class="stack">
      <div class="notice notice-warning" role="alert">
        <strong>${text.title}</strong><p>${failure}</p></div>
      <div><button type="button" onClick=${onClose}>${text.close}</button></div>
    </div>`;
  }
  return html`<div class="camera stack">
    <div class="picture picture-live"><video ref=${video} autoplay playsinline muted
      aria-label=${text.live}></video><${PalmOverlay} region=${found?.region}
        usable=${found?.usable} /></div>
    <${Guidance} running=${running} found=${found} />
    <${ProblemNotice} problem=${problem} />
    <div class="row">
      <button type="button" class="primary" ref=${shutter} disabled=${!running} onClick=${take}>
        ${text.take}</button>
      <button type="button" onClick=${onClose}>${text.close}</button>
      ${devices.length > 1 && html`<label class="device"><span class="visually-hidden">
        ${text.device}</span>
        <select value=${device} onChange=${({ target }) => setDevice(target.value)}>
          ${devices.map(({ deviceId, label }) => html`<option value=${deviceId}>${label}</option>`)}
        </select></label>`}
    </div>
    ${may("inspect") && html`<label class="check"><input type="checkbox" checked=${byItself}
      onChange=${({ target }) => setByItself(target.checked)} />${text.byItself}</label>`}
    <p class="hint">${texts.input.veins}</p>
  </div>`;
}

function Guidance({ running, found }) {
  const text = texts.camera;
  if (!running) return html`<p class="guidance" role="status">${text.starting}</p>`;
  if (!may("inspect")) return html`<p class="guidance" role="status">${text.noGuidance}</p>`;
  if (!found) return html`<p class="guidance" role="status">${text.looking}</p>`;
  const kind = found.usable ? "good" : "warning";
  return html`<div class=${`guidance guidance-${kind}`} role="status">
    <strong>${found.usable ? text.usable : text.unusable}</strong>
    ${found.advice.length > 0 && html`<p>${found.advice[0]}</p>`}
  </div>`;
}

/** Shows a camera in a video element until the component goes. */
function useStream(video, device) {
  const [state, setState] = useState({ devices: [], failure: "", running: false });
  useEffect(() => {
    let stream = null;
    let over = false;
    const stop = () => stream?.getTracks().forEach((track) => track.stop());
    async function start() {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "InsecureContext");
      const which = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
      stream = await navigator.mediaDevices.getUserMedia({ video: { ...IDEAL, ...which } });
      if (over) return stop();
      video.current.srcObject = stream;
      await video.current.play();
      const all = await navigator.mediaDevices.enumerateDevices();
      const devices = all.filter(({ kind }) => kind === "videoinput");
      if (!over) setState({ devices, failure: "", running: true });
    }
    start().catch((error) => {
      stop();
      const failure = texts.camera.failures[error.name] ?? texts.camera.failed(error.message);
      if (!over) setState({ devices: [], failure, running: false });
    });
    return () => {
      over = true;
      stop();
    };
  }, [device]);
  return state;
}

/** Asks the service again and again what it sees, one request at a time. */
function useGuidance(video, running, capture) {
  const [state, setState] = useState({ found: null, problem: null });
  useEffect(() => {
    if (!running || !may("inspect")) return undefined;
    const stop = new AbortController();
    const { signal } = stop;
    async function look() {
      const form = new FormData();
      form.append("images", await grab(video.current, GUIDE_PX, 0.9), "frame.jpg");
      if (capture) form.append("capture", capture);
      const { body } = await call("POST", "/v1/inspect", { form, signal });
      if (!signal.aborted) setState({ found: body, problem: null });
    }
    async function guide() {
      while (!signal.aborted) {
        const began = performance.now();
        let pause = GUIDE_EVERY_MS;
        try {
          if (!document.hidden) await look();
        } catch (problem) {
          if (signal.aborted) return;
          setState({ found: null, problem });
          pause = problem.retryAfterS ? problem.retryAfterS * 1000 : RETRY_MS;
        }
        await sleep(Math.max(0, pause - (performance.now() - began)), signal);
      }
    }
    guide();
    return () => stop.abort();
  }, [running, capture]);
  return state;
}

function sleep(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}

/** Returns the video's present frame as a JPEG whose longer side has at most `most` pixels. */
function grab(video, most, quality) {
  const { videoWidth: width, videoHeight: height } = video;
  const scale = Math.min(1, most / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}
