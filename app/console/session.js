/** The API key, which stays in memory only, and what it may do. */

import { useEffect, useState } from "./ui.js";

/**
 * The answer of GET /v1/caller.
 * @typedef {{keys_in_use: boolean, key_id: ?string, name: ?string, scopes: string[],
 *   explanations: boolean, collections: ?string[], expires_at: ?string}} Caller
 */

/**
 * `caller` is null until someone is signed in; `ended` is why a session ended, or could not begin.
 * @type {{key: ?string, caller: ?Caller, ended: ?import("./api.js").Problem}}
 */
let session = { key: null, caller: null, ended: null };
const listeners = new Set();

function change(next) {
  session = next;
  listeners.forEach((listen) => listen(session));
}

/** Starts a session; `key` is null where none is needed. */
export function begin(key, caller) {
  change({ key, caller, ended: null });
}

/** Forgets the key; `problem` is told on the page for signing in. */
export function end(problem = null) {
  change({ key: null, caller: null, ended: problem });
}

/** Returns the key; null if there is none. */
export function keyInUse() {
  return session.key;
}

/** Tells whether the caller has a scope. */
export function may(scope) {
  return session.caller?.scopes.includes(scope) ?? false;
}

/** Tells whether the service draws explanations for the caller. */
export function mayExplain() {
  return may("explain") && session.caller.explanations;
}

/** Returns the names of the collections that the key is limited to; null for all. */
export function collectionsInSight() {
  return session.caller?.collections ?? null;
}

/** Returns the session, in a component that is drawn again whenever it changes. */
export function useSession() {
  const [current, setCurrent] = useState(session);
  useEffect(() => {
    listeners.add(setCurrent);
    setCurrent(session);
    return () => listeners.delete(setCurrent);
  }, []);
  return current;
}
