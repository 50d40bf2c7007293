// Figures that are hidden or locked one by one: remembered in the browser, for each project.

import { follow, keep, recall } from "./remembering.js";

const MOST = 5000; // of each: the oldest are forgotten

/** What a figure is hidden and locked by: in a video or a volume, its object on all places. */
export const markOf = ({ id, objectId }) => (objectId == null ? `figure-${id}` : `object-${objectId}`);

export const isVeiled = (state, figure) => state.veiled.includes(markOf(figure));
export const isLocked = (state, figure) => state.locked.includes(markOf(figure));

/** Put what was hidden and locked before into the store, and remember it from now on. */
export function rememberMarks(store) {
  const key = `sam2-serving.marks.${store.get("session").project}`;
  store.set(remembered(key));
  store.watch(["veiled", "locked"], ({ veiled, locked }) => keep(key, { veiled, locked }));
  follow(key, () => store.set(remembered(key)));
}

function remembered(key) {
  const list = (given) => (Array.isArray(given) ? given.filter((one) => typeof one === "string") : []);
  const { veiled, locked } = recall(key);
  return { veiled: list(veiled), locked: list(locked) };
}

/** Hide or lock figures, or show and unlock them. @param {"veiled"|"locked"} name */
export function setMarks(store, name, figures, on) {
  const marks = figures.map(markOf);
  const others = store.get(name).filter((one) => !marks.includes(one));
  store.set({ [name]: on ? [...others, ...new Set(marks)].slice(-MOST) : others });
}
