/** Texts of the page Identify. */

export const texts = {
  title: "Identify",
};
