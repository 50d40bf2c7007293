// A row of the list of figures: what it is, and what can be done with it.

import { colorOf } from "../colors.js";
import { element, iconButton } from "../dom.js";
import { isLocked, isVeiled, setMarks } from "../keeping.js";
import { swatch } from "./classes.js";
import { rename } from "./renaming.js";

const KINDS = { rectangle: "box", polygon: "polygon" };

/** What a figure is called. */
export function nameOf({ id, classId, description }, classes) {
  return `${description || (classes.find((one) => one.id === classId)?.title ?? "?")} #${id}`;
}

/**
 * @param {{edit, openMenu, remove, rename, move, goTo}} actions - called with the figure; `move` also with
 *   -1 (further down in the picture) or 1
 */
export function figureRow(store, figure, state, actions) {
  const name = nameOf(figure, state.classes);
  const [veiled, locked] = [isVeiled(state, figure), isLocked(state, figure)];
  const below = ({ currentTarget }) => {
    const { left, bottom } = currentTarget.getBoundingClientRect();
    actions.openMenu(figure, { x: left, y: bottom });
  };
  const marker = (mark, on, words) => {
    const button = iconButton(words.icon, `${on ? words.take : words.set} ${name}`,
      () => setMarks(store, mark, [figure], !on), `.mark${on ? ".on" : ""}`);
    button.setAttribute("aria-pressed", on);
    return button;
  };
  const guarded = (button) => Object.assign(button, { disabled: locked });
  const editable = figure.geometry.bitmap || figure.geometryType === "rectangle";
  const point = (selected) => () => store.set({ selected });
  const node = element(
    veiled ? "li.figure.veiled" : "li.figure",
    {
      data: { figure: figure.id },
      on: { pointerenter: point(figure.id), pointerleave: point(null), focusin: point(figure.id) },
    },
    swatch(colorOf(figure, state)),
    title(figure, name, actions, locked),
    marker("veiled", veiled, { icon: veiled ? "veiled" : "eye", set: "Hide", take: "Show" }),
    marker("locked", locked, { icon: locked ? "locked" : "unlocked", set: "Lock", take: "Unlock" }),
    ...(editable ? [guarded(iconButton("pencil", `Edit ${name}`, () => actions.edit(figure)))] : []),
    iconButton("more", `More for ${name}`, below),
    guarded(iconButton("trash", `Delete ${name}`, () => actions.remove(figure))),
  );
  return node;
}

/** Name and size; Alt and the arrows put it on top of others, F2 or a double click rename it. */
function title(figure, name, { rename: take, move, goTo }, locked) {
  const kind = KINDS[figure.geometryType];
  const size = `${kind ? `${kind} · ` : ""}${Number(figure.area).toLocaleString("en")} px`;
  const begin = () => { if (!locked) askName(button, figure, take); };
  const keys = { ArrowUp: () => move(figure, -1), ArrowDown: () => move(figure, 1) };
  const button = element(
    "button.what",
    {
      type: "button",
      title: "Enter: go to. F2: rename. Alt+↑, Alt+↓: lower in the list is on top in the picture",
      on: {
        dblclick: begin,
        keydown: (event) => {
          if (event.key === "F2") begin();
          else if (event.key === "Enter") goTo(figure);
          else if (event.altKey && keys[event.key]) keys[event.key]();
          else return;
          event.preventDefault();
          event.stopPropagation();
        },
      },
    },
    element("span.name", {}, name),
    element("span.size", {}, size),
  );
  return button;
}

function askName(button, figure, take) {
  const field = element("input", {
    type: "text", maxLength: 256, value: figure.description ?? "", placeholder: "Name",
    "aria-label": "Name of the figure",
  });
  rename(button, field, (text) => {
    button.focus();
    if (text !== null && text !== (figure.description ?? "")) take(figure, text);
  });
}
