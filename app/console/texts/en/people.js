/** Texts of the page People. */

export const texts = {
  title: "People",
};
