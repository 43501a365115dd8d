/** What components are made of: Preact's functions and the tag `html`. */

import { createContext, Fragment, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export {
  useCallback,
  useContext,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "./vendor/hooks.mjs";
export { createContext, Fragment, render };

/** Makes elements of a template text: html`<p class="x">${child}</p>`. */
export const html = htm.bind(h);
