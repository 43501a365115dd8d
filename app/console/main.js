/** The shell: which page is shown, navigation, and signing in. */

import { call } from "./api.js";
import Enroll from "./pages/enroll.js";
import Identify from "./pages/identify.js";
import Operate from "./pages/operate.js";
import People from "./pages/people.js";
import SignIn from "./pages/sign-in.js";
import { begin, end, may, useSession } from "./session.js";
import { language, texts } from "./texts.js";
import { html, render, useEffect, useRef, useState } from "./ui.js";

/** The pages in the order of the navigation; a key with any of the scopes sees the page. */
const PAGES = [
  { name: "identify", scopes: ["identify"], Page: Identify },
  { name: "enroll", scopes: ["enroll"], Page: Enroll },
  { name: "people", scopes: ["read"], Page: People },
  { name: "operate", scopes: ["metrics", "admin"], Page: Operate },
];

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Returns the parts of the address after #/: the page's name and what follows it. */
function readHash() {
  return location.hash.replace(/^#\/?/, "").split("/").map(decode);
}

/** An address may be typed wrongly. */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function useHash() {
  const [parts, setParts] = useState(readHash);
  useEffect(() => {
    const read = () => setParts(readHash());
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }, []);
  return parts;
}

function Navigation({ pages, current }) {
  return html`<nav aria-label=${texts.app.navigation}>
    ${pages.map(
      ({ name }) => html`<a key=${name} href=${`#/${name}`}
        aria-current=${name === current ? "page" : null}>${texts.pages[name]}</a>`,
    )}
  </nav>`;
}

function Who({ caller }) {
  if (!caller.keys_in_use) return html`<p class="who">${texts.app.noKeyNeeded}</p>`;
  return html`<div class="who">
    <span title=${caller.key_id}>${caller.name}</span>
    <button onClick=${() => end()}>${texts.app.signOut}</button>
  </div>`;
}

function NothingAllowed({ caller }) {
  return html`<section class="card empty">
    <h1>${texts.app.nothingAllowed}</h1>
    <p>${texts.app.nothingAllowedAdvice(caller.scopes.join(", "))}</p>
  </section>`;
}

function App() {
  const { caller } = useSession();
  const [wanted, ...args] = useHash();
  const main = useRef(null);
  const pages = caller ? PAGES.filter(({ scopes }) => scopes.some(may)) : [];
  const page = pages.find(({ name }) => name === wanted) ?? (wanted ? undefined : pages[0]);
  const shown = caller ? page?.name : "sign-in";
  const first = useRef(true);
  useEffect(() => {
    const name = page && texts.pages[page.name];
    document.title = [name ?? (caller ? null : texts.signIn.title), texts.app.title]
      .filter(Boolean).join(" – ");
    if (!first.current && caller) main.current.focus();
    first.current = false;
  }, [shown, args.join("/")]);
  useEffect(() => {
    performance.mark("console-ready");
  }, []);

  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current.focus();
    }}>${texts.app.skip}</a>
    <header>
      <a class="brand" href="#/"><img src="console/icon.svg" alt="" width="28" height="28" />
        <span>${texts.app.title}</span></a>
      ${caller && html`<${Navigation} pages=${pages} current=${page?.name} />
        <${Who} caller=${caller} />`}
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${!caller && html`<${SignIn} />`}
      ${caller && page && html`<${page.Page} key=${page.name} args=${args} />`}
      ${caller && !page && pages.length > 0 && html`<section class="card empty">
        <h1>${texts.app.pageHidden}</h1></section>`}
      ${caller && pages.length === 0 && html`<${NothingAllowed} caller=${caller} />`}
    </main>
    <footer><a href="docs">${texts.app.documentation}</a></footer>`;
}

async function start() {
  document.documentElement.lang = language;
  // Elsewhere a key is always needed, and a request without one would only be logged as refused.
  if (LOOPBACK.test(location.hostname)) {
    const asked = call("GET", "/v1/caller");
    await asked.then(
      ({ body }) => begin(null, body),
      (problem) => end(problem.status === 401 ? null : problem),
    );
  }
  const app = document.getElementById("app");
  app.replaceChildren();
  render(html`<${App} />`, app);
}

start();
