// The classes: which one the next figure gets, and changes of them.

import { addClass, alterClass, deleteClass, getClassUses, orderClasses } from "../api.js";
import { element, iconButton } from "../dom.js";
import { count } from "../words.js";
import { classRow } from "./class_row.js";

const PALETTE = [
  "#FF4D6D", "#00B8A9", "#F6A821", "#5B8DEF", "#A05BEF", "#4CB944", "#EF7A3C", "#E056B9",
];

/** @param {Changes} changes - makes each change of a class a step that can be undone */
export function mountClasses(root, store, changes) {
  const list = element("div.classes", { role: "radiogroup", "aria-labelledby": "classes-title" });
  const title = element("input", {
    type: "text", maxLength: 256, placeholder: "New class", "aria-label": "Name of the new class",
  });
  const problem = element("p.problem", { role: "alert", hidden: true });

  /** Do what changes the classes; why it fails is said. */
  const tried = async (what, send) => {
    problem.hidden = true;
    try {
      return await changes.ofClasses(what, send);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return null;
    }
  };

  const add = async (event) => {
    event.preventDefault();
    const name = title.value.trim();
    if (!name) return;
    const color = PALETTE[store.get("classes").length % PALETTE.length];
    const added = await tried(`Class ${name}`, (key) => addClass(key, name, color));
    if (!added) return;
    store.set({ classId: added.id });
    title.value = "";
    title.blur();
  };
  const form = element("form.add", { on: { submit: add } }, title);
  form.append(iconButton("plus", "Add the class", () => form.requestSubmit()));

  const actions = {
    choose: ({ id }) => store.set({ classId: id }),
    alter: (one, news) => tried(`Change of ${one.title}`, (key) => alterClass(key, one.id, news)),
    /** Put a class at a place of the order. */
    put(one, at) {
      const ids = store.get("classes").map(({ id }) => id).filter((id) => id !== one.id);
      ids.splice(Math.max(0, Math.min(at, ids.length)), 0, one.id);
      const before = store.get("classes").map(({ id }) => id);
      if (ids.join() !== before.join()) tried("Order of classes", (key) => orderClasses(key, ids));
    },
    async remove(one) {
      const uses = await getClassUses(one.id).catch((error) => ({ error }));
      if (uses.error) problem.textContent = uses.error.message;
      problem.hidden = !uses.error;
      if (uses.error || (uses.figures && !(await confirmed(one, uses)))) return;
      tried(`Deletion of ${one.title}`, (key) => deleteClass(key, one.id, uses.figures));
    },
  };

  root.append(element("h2", { id: "classes-title" }, "Class"), list, form, problem);
  store.watch(["classes", "classId"], ({ classes, classId }) => {
    const focus = document.activeElement?.closest?.(".class");
    const part = list.contains(focus) ? document.activeElement.dataset.part : null;
    list.replaceChildren(
      ...classes.map((one, index) => classRow(one, index, one.id === classId, actions)),
    );
    // The list was made anew: who is in it with the keyboard stays where they were.
    if (part) list.querySelector(`[data-class="${focus.dataset.class}"] [data-part="${part}"]`)?.focus();
  });
}

/** Ask whether figures may go with their class. @returns {Promise<boolean>} */
function confirmed({ title }, { figures, media }) {
  return new Promise((resolve) => {
    const button = (words, value, classes = "") =>
      element(`button${classes}`, { type: "submit", value }, words);
    const words = `${count(figures, "figure")} on ${count(media, "medium", "media")} `
      + `${figures === 1 ? "goes" : "go"} with it. Undo brings all of it back.`;
    const dialog = element(
      "dialog.ask",
      {
        "aria-labelledby": "ask-title",
        on: { close() { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      },
      element("form", { method: "dialog" },
        element("h2", { id: "ask-title" }, `Delete the class “${title}”?`),
        element("p", {}, words),
        element("div.row-of", {}, button("Keep it", "no"), button("Delete all", "yes", ".primary"))),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function swatch(color) {
  const square = element("span.swatch", { "aria-hidden": "true" });
  square.style.background = color;
  return square;
}
