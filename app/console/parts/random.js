/** Random texts; crypto.randomUUID would need HTTPS. No component. */

/** Returns `count` random bytes as hexadecimal digits. */
export function randomHex(count) {
  const bytes = crypto.getRandomValues(new Uint8Array(count));
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}
