/** Texts of the shell: navigation, signing in, the network. */

export const texts = {
  app: {
    title: "Palm veins",
    skip: "Skip to the content",
    navigation: "Pages",
    noKeyNeeded: "No key needed here",
    documentation: "For programs: the API's documentation",
    signOut: "Sign out",
    nothingAllowed: "This key opens no page",
    nothingAllowedAdvice: (scopes) =>
      `It has the scopes ${scopes}. ` +
      "Sign in with a key that may identify, enroll, read, or operate.",
    pageHidden: "This key may not open this page",
    starting: "Starting …",
  },
  pages: {
    identify: "Identify",
    enroll: "Enroll",
    people: "People",
    operate: "Operate",
  },
  signIn: {
    title: "Sign in",
    lead: "An API key tells the service who asks, and what they may do.",
    key: "API key",
    hint:
      "It starts with palm_. It stays in this page's memory only: " +
      "reload the page to forget it.",
    submit: "Sign in",
    busy: "Signing in …",
    where: "Whoever runs the service makes keys:",
    empty: "enter a key",
  },
  api: {
    unreachable: "The service cannot be reached",
    unreachableDetail: "Check that it runs and that this machine is connected, then try again.",
    foreign: "Something between this page and the service answered instead of it; try again.",
  },
};
