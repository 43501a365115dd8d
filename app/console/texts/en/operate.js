/** Texts of the page Operate. */

export const texts = {
  title: "Operate",
};
