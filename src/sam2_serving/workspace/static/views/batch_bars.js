// What stands round the grid of the Batched Smart Tool: choices, actions, counts, pages.

import { element, iconButton } from "../dom.js";
import { count } from "../words.js";

const SIZES = { Small: 150, Medium: 220, Large: 400 };
const HINT = "Click: this · Shift+click: not this · Alt+click: remove a click · "
  + "drag a corner: the box · arrows: next object · X: leave out";

/**
 * @param {HTMLDialogElement} root
 * @param {Element} grid
 * @param {object} actions - functions: choose, segment, update, cancel, undo, redo, save, close,
 *   turn, serve, resize
 * @returns {{offer, show, say}}
 */
export function mountBars(root, grid, actions) {
  const button = (words, action, classes = "") =>
    element(`button${classes}`, { type: "button", on: { click: action } }, words);
  const choice = (name, action) =>
    element("select", { "aria-label": name, on: { change: action } });

  const dataset = choice("Dataset", () => actions.choose(Number(dataset.value)));
  const owner = choice("Class", () => actions.choose(Number(dataset.value), Number(owner.value)));
  const size = choice("Size of the objects", () => {
    grid.style.setProperty("--cell", `${size.value}px`);
    actions.resize();
  });
  for (const [name, px] of Object.entries(SIZES)) {
    size.append(element("option", { value: px, selected: name === "Medium" }, name));
  }
  const segment = button("Segment all", actions.segment, ".primary");
  const update = button("Update all", actions.update);
  const save = button("Save", actions.save, ".primary");
  const undo = iconButton("undo", "Undo (Ctrl+Z)", actions.undo);
  const redo = iconButton("redo", "Redo (Ctrl+Y)", actions.redo);
  const counts = element("p.counts", { role: "status" });
  const busy = element("p.busy", { hidden: true });
  const cancel = button("Cancel", actions.cancel);
  const said = element("div.said", { hidden: true });
  const previous = iconButton("previous", "Previous page", () => actions.turn(-1));
  const next = iconButton("next", "Next page", () => actions.turn(1));
  const range = element("span.range", {});
  const pager = element("div.pager", { role: "group", "aria-label": "Pages" }, previous, range, next);

  root.append(
    element(
      "header", {},
      element("h2", { id: "batch-title" }, "Batched Smart Tool"),
      dataset, owner, size, element("span.space", {}),
      undo, redo, segment, update, save,
      iconButton("cross", "Close (Esc)", actions.close),
    ),
    element("div.line", {}, counts, busy, cancel, said),
    grid,
    element("footer", {}, element("p.quiet", {}, HINT), pager),
  );

  const say = (message) => {
    said.hidden = !message;
    if (!message) return;
    const { words, requestId, again, unserved } = message;
    said.classList.toggle("bad", Boolean(requestId || again));
    said.replaceChildren(element("p", {}, words));
    if (requestId) said.append(element("code", {}, `request ${requestId}`));
    if (again) said.append(button("Try again", again));
    if (unserved) said.append(button("Serve a model", actions.serve));
  };

  return {
    say,

    /** What can be chosen, and what is. */
    offer({ datasets, dataset: open, classes, chosen, counts: figures }) {
      dataset.replaceChildren(...datasets.map(({ id, name }) =>
        element("option", { value: id, selected: id === open?.id }, name)));
      owner.replaceChildren(...classes.map(({ id, title }) =>
        element("option", { value: id, selected: id === chosen?.id }, `${title} (${figures[id]})`)));
      owner.disabled = !classes.length;
    },

    /** What can be done, how many there are of each kind, and which of them are on the page. */
    show(batch, { page, pages, first, last }) {
      const cells = batch?.cells ?? [];
      const idle = batch !== null && !batch.busy;
      const [outdated, fresh] = [batch?.of("changed").length ?? 0, batch?.of("mask").length ?? 0];
      segment.disabled = !idle || cells.every(({ excluded }) => excluded);
      update.disabled = !idle || !batch.outdated.length;
      update.textContent = outdated ? `Update all (${outdated})` : "Update all";
      save.disabled = !idle || !(fresh || batch.unsettled);
      save.textContent = fresh ? `Save ${count(fresh, "mask")}` : "Save";
      undo.disabled = !batch?.canWalk(batch.past);
      redo.disabled = !batch?.canWalk(batch.future);
      counts.textContent = batch ? wordsOf(batch) : "";
      busy.hidden = !batch?.busy;
      busy.textContent = batch?.busy ?? "";
      cancel.hidden = !batch?.flight;
      pager.hidden = pages < 2;
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
      range.textContent = `${first + 1} – ${last} of ${cells.length}`;
      say(batch?.said ?? null);
    },
  };
}

function wordsOf(batch) {
  const { cells } = batch;
  const images = new Set(cells.map(({ image }) => image.id)).size;
  const parts = [`${count(cells.length, "object")} on ${count(images, "image")}`];
  const kinds = { mask: "new", changed: "changed", failed: "without a mask", saved: "saved" };
  for (const [state, words] of Object.entries(kinds)) {
    const number = batch.of(state).length;
    if (number) parts.push(`${number} ${words}`);
  }
  const out = cells.filter(({ excluded }) => excluded).length;
  if (out) parts.push(`${out} left out`);
  return parts.join(" · ");
}
