// What a person has chosen about how the page behaves: remembered in the browser.

import { keep, recall } from "./remembering.js";

const KEY = "sam2-serving.habits";
const DEFAULTS = Object.freeze({
  autoPoint: true, // a new box gets a positive point in its middle
  simpleClicks: false, // a click in the mask takes away, one outside adds
  preview: false, // the mask under the pointer is shown before a click
  opacity: 40, // of figures' fill, in percent
  coloring: "class",
  planes: true, // a volume's other two planes are shown, too
  cross: true, // and its cross-hair
});

/** Put what was chosen before into the store, and remember what is chosen from now on. */
export function rememberHabits(store) {
  store.set({ ...DEFAULTS, ...remembered() });
  store.watch(Object.keys(DEFAULTS), (state) => {
    const chosen = Object.keys(DEFAULTS).map((name) => [name, state[name]]);
    keep(KEY, Object.fromEntries(chosen));
  });
}

function remembered() {
  const kept = Object.entries(recall(KEY));
  return Object.fromEntries(kept.filter(([name, value]) => typeof value === typeof DEFAULTS[name]));
}
