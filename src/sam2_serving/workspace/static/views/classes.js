// The classes: which one the next figure gets, and a way to add one.

import { addClass } from "../api.js";
import { element, iconButton } from "../dom.js";

const PALETTE = [
  "#FF4D6D", "#00B8A9", "#F6A821", "#5B8DEF", "#A05BEF", "#4CB944", "#EF7A3C", "#E056B9",
];

export function mountClasses(root, store) {
  const list = element("div.classes", { role: "radiogroup", "aria-labelledby": "classes-title" });
  const title = element("input", {
    type: "text", maxLength: 256, placeholder: "New class", "aria-label": "Name of the new class",
  });
  const problem = element("p.problem", { role: "alert", hidden: true });

  const add = async (event) => {
    event.preventDefault();
    if (!title.value.trim()) return;
    const classes = store.get("classes");
    try {
      const added = await addClass(title.value.trim(), PALETTE[classes.length % PALETTE.length]);
      store.set({ classes: [...classes, added], classId: added.id });
      title.value = "";
      title.blur();
      problem.hidden = true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  const form = element("form.add", { on: { submit: add } }, title);
  form.append(iconButton("plus", "Add the class", () => form.requestSubmit()));

  root.append(element("h2", { id: "classes-title" }, "Class"), list, form, problem);

  store.watch(["classes", "classId"], ({ classes, classId }) => {
    list.replaceChildren(
      ...classes.map(({ id, title: name, color }, index) =>
        element(
          "label.class",
          { title: index < 9 ? `${name} (${index + 1})` : name },
          element("input", {
            type: "radio", name: "class", value: id, checked: id === classId,
            on: { change: () => store.set({ classId: id }) },
          }),
          swatch(color),
          element("span.name", {}, name),
          ...(index < 9 ? [element("kbd", {}, String(index + 1))] : []),
        ),
      ),
    );
  });
}

export function swatch(color) {
  const square = element("span.swatch", { "aria-hidden": "true" });
  square.style.background = color;
  return square;
}
