/** Repeats a request that the service asks to send again a little later. No component. */

const MOST_RETRIES = 20;

/**
 * @param {() => Promise<any>} send sends the request
 * @param {AbortSignal} signal ends the waiting
 * @param {(seconds: number) => void} onWait is told how long it waits
 * @throws {import("../api.js").Problem} what the last attempt met
 */
export async function patiently(send, signal, onWait = () => {}) {
  for (let retries = 0; ; retries += 1) {
    try {
      return await send();
    } catch (problem) {
      if (signal?.aborted || !problem.retryAfterS || retries === MOST_RETRIES) throw problem;
      onWait(problem.retryAfterS);
      await new Promise((done) => setTimeout(done, problem.retryAfterS * 1000));
      if (signal?.aborted) throw problem;
    }
  }
}
