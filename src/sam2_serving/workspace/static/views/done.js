// The mark of a medium that a person is through with.

import { setDone } from "../api.js";
import { icon } from "../dom.js";

/** @param {HTMLButtonElement} button - marks what is open as done, or takes the mark away */
export function mountDone(button, store, say) {
  button.append(icon("done"));
  button.addEventListener("click", () => markDone(store, say));
  store.watch(["medium", "datasets", "doneMarks"], ({ medium }) => {
    const done = medium?.done === true;
    button.disabled = !medium;
    button.setAttribute("aria-pressed", done);
    button.setAttribute("aria-label", "Done");
    button.title = done ? "Done; not done after all (E)" : "Done with this one (E)";
  });
}

/** Mark what is open as done, or as not done if it was. */
export async function markDone(store, say, speak = () => {}) {
  const medium = store.get("medium");
  if (!medium) return;
  const done = !medium.done;
  try {
    await setDone(medium, done);
  } catch (error) {
    say(`Not marked: ${error.message}`, error.requestId);
    return;
  }
  medium.done = done;
  store.set({ doneMarks: store.get("doneMarks") + 1 });
  speak(done ? `${medium.name} is done.` : `${medium.name} is not done.`);
}
