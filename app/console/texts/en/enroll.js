/** Texts of the page Enroll. */

export const texts = {
  title: "Enroll",
};
