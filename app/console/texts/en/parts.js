/** Texts of the components that several pages share. */

export const texts = {
  problem: {
    retryAfter: (seconds) => `Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`,
    requestId: (id) => `Request ${id}`,
  },
};
