// Light or dark: as the system has it, or as a person chose, which the browser remembers.

import { icon } from "../dom.js";
import { keep, recall } from "../remembering.js";

const KEY = "sam2-serving.theme";
const WORDS = { system: "as the system has it", light: "light", dark: "dark" };
const ICONS = { system: "half", light: "sun", dark: "moon" };

/** @param {HTMLButtonElement} button - goes from one to the next */
export function mountTheme(button) {
  const names = Object.keys(WORDS);
  let chosen = names.find((name) => name === recall(KEY).theme) ?? "system";
  const show = () => {
    // Every colour is given as light-dark(): this is all that decides.
    document.documentElement.style.colorScheme = chosen === "system" ? "" : chosen;
    const next = names[(names.indexOf(chosen) + 1) % names.length];
    button.title = `Colours: ${WORDS[chosen]}. Next: ${WORDS[next]}`;
    button.setAttribute("aria-label", `Colours: ${WORDS[chosen]}`);
    button.replaceChildren(icon(ICONS[chosen]));
  };
  button.addEventListener("click", () => {
    chosen = names[(names.indexOf(chosen) + 1) % names.length];
    keep(KEY, { theme: chosen });
    show();
  });
  show();
}
