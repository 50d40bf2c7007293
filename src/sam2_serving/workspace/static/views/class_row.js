// A row of the list of classes.

import { element, iconButton } from "../dom.js";
import { rename } from "./renaming.js";

/**
 * @param {{choose, alter, put, remove}} actions - called with the class; `alter` also with what is
 *   new of it, `put` with its new place in the order
 */
export function classRow(one, index, chosen, actions) {
  const { id, title, color } = one;
  const number = index < 9 ? ` (${index + 1})` : "";
  const name = element(
    "label.name",
    { htmlFor: `class-${id}`, title: `${title}${number}. F2: rename. Alt+↑, Alt+↓ or drag: order` },
    title,
  );
  const ask = () => askTitle(name, one, (news) => actions.alter(one, { title: news }));
  name.addEventListener("dblclick", ask);
  const keys = {
    ArrowUp: (event) => event.altKey && actions.put(one, index - 1),
    ArrowDown: (event) => event.altKey && actions.put(one, index + 1),
    F2: ask,
  };
  const radio = element("input", {
    type: "radio", name: "class", id: `class-${id}`, value: id, checked: chosen, data: { part: "choose" },
    on: {
      change: () => actions.choose(one),
      keydown(event) {
        if (!(event.key in keys) || (event.key !== "F2" && !event.altKey)) return;
        event.preventDefault();
        event.stopPropagation();
        keys[event.key](event);
      },
    },
  });
  const paint = element("input.swatch", {
    type: "color", value: color.toLowerCase(), title: `Colour of ${title}`,
    "aria-label": `Colour of ${title}`, data: { part: "color" },
    on: { change: () => actions.alter(one, { color: paint.value }) },
  });
  const edit = iconButton("pencil", `Rename ${title} (F2)`, ask);
  const trash = iconButton("trash", `Remove the class ${title}`, () => actions.remove(one));
  Object.assign(edit.dataset, { part: "rename" });
  Object.assign(trash.dataset, { part: "remove" });
  const row = element(
    "div.class",
    { draggable: true, data: { class: id, index } },
    radio, paint, name, edit, trash,
    ...(number ? [element("kbd", { "aria-hidden": "true" }, String(index + 1))] : []),
  );
  return dragged(row, one, index, actions);
}

const KIND = "application/x-class";

/** A row that is dragged onto another takes its place. */
function dragged(row, one, index, { put }) {
  const ours = (event) => event.dataTransfer.types.includes(KIND);
  const on = {
    dragstart(event) {
      event.dataTransfer.setData(KIND, JSON.stringify(one));
      event.dataTransfer.effectAllowed = "move";
    },
    dragover(event) {
      if (!ours(event)) return;
      event.preventDefault();
      row.classList.add("target");
    },
    dragleave: () => row.classList.remove("target"),
    drop(event) {
      if (!ours(event)) return;
      event.preventDefault();
      event.stopPropagation();
      row.classList.remove("target");
      put(JSON.parse(event.dataTransfer.getData(KIND)), index);
    },
  };
  for (const [name, listener] of Object.entries(on)) row.addEventListener(name, listener);
  return row;
}

function askTitle(name, { title }, take) {
  const field = element("input.name", {
    type: "text", maxLength: 256, value: title, "aria-label": `New name of ${title}`,
  });
  const row = name.closest(".class");
  row.draggable = false; // else a drag in the field would be one of the row
  rename(name, field, (text) => {
    row.draggable = true;
    row.querySelector("[data-part=choose]").focus();
    if (text && text !== title) take(text);
  });
}
