// The saved figures of the open place.

import { getFigures, getObjects, getPlaces } from "../api.js";
import { element } from "../dom.js";
import { rememberMarks } from "../keeping.js";
import { figureRow, nameOf } from "./figures_row.js";

export { nameOf };

/**
 * @param {Changes} changes
 * @param {{edit: Function, openMenu: Function, goTo: Function}} actions - called with a figure; `openMenu` also
 *   with a point of the window
 * @returns {{remove: (figure: object) => Promise}} deletes a figure, and offers to undo that
 */
export function mountFigures(root, store, changes, { edit, openMenu, goTo }) {
  const count = element("span.count", {});
  const list = element("ul.figures", {});
  const notice = element("p.undo", { hidden: true });
  root.append(element("h2", { id: "figures-title" }, "Figures ", count), list, notice);

  let deleted = null; // id of the figure that the notice offers to bring back
  const remove = async (figure) => {
    const place = store.get("place");
    const name = nameOf(figure, store.get("classes"));
    const step = await changes.make(place, `Delete ${name}`, { remove: [figure.id] });
    if (!step || store.get("place")?.key !== place.key) return;
    deleted = figure.id;
    offerUndo(place, step, name);
  };

  const offerUndo = (place, step, name) => {
    const restore = async () => {
      button.disabled = true;
      const problem = await changes.undoStep(place, step);
      button.disabled = false;
      if (problem) notice.replaceChildren(`${name} is not back: ${problem} `, button);
      else notice.hidden = true;
    };
    const button = element("button.link", { type: "button", on: { click: restore } }, "Undo");
    notice.replaceChildren(`${name} deleted. `, button);
    notice.hidden = false;
  };

  const rename = (figure, description) => changes.make(
    store.get("place"), `Name of ${nameOf(figure, store.get("classes"))}`,
    { describe: [{ id: figure.id, description }] },
  );
  const move = (figure, way) => {
    const order = store.get("figures").map(({ id }) => id);
    const at = order.indexOf(figure.id);
    if (!(at + way in order)) return;
    [order[at], order[at + way]] = [order[at + way], order[at]];
    changes.make(store.get("place"), "Order", { order });
  };

  rememberMarks(store);
  store.watch(["figures", "classes", "coloring", "veiled", "locked"], (state) => {
    const { figures, place } = state;
    const focused = focusOf(list);
    count.textContent = figures.length || "";
    const actions = { edit, openMenu, remove, rename, move, goTo };
    list.replaceChildren(...figures.map((figure) => figureRow(store, figure, state, actions)));
    giveFocus(list, focused);
    if (!figures.length && place) {
      list.append(element("li.none", {}, "None yet. What you save appears here."));
    }
    if (figures.some(({ id }) => id === deleted)) notice.hidden = true; // undone elsewhere
  });
  store.watch(["place"], () => { notice.hidden = true; });
  return { remove };
}

/** Which button has the focus, so that it can have it again when the list is made anew. */
function focusOf(list) {
  const row = document.activeElement?.closest?.("li.figure");
  if (!row || !list.contains(row)) return null;
  return { id: row.dataset.figure, at: [...row.querySelectorAll("button")].indexOf(document.activeElement) };
}

function giveFocus(list, focused) {
  const row = focused && list.querySelector(`[data-figure="${focused.id}"]`);
  row?.querySelectorAll("button")[focused.at]?.focus({ preventScroll: true });
}

let latest = 0; // of two answers that cross, the one that was asked for first is dropped

/** Fetch the figures of the open place again, and what else changes with them. */
export async function reload(store) {
  await Promise.all([reloadFigures(store), reloadPlaces(store), reloadObjects(store)]);
}

/** Fetch the figures of the open place again. */
export async function reloadFigures(store) {
  const place = store.get("place");
  const number = (latest += 1);
  const figures = await getFigures(place);
  if (number === latest && store.get("place")?.key === place.key) put(store, { figures });
}

/** Fetch again how many figures each place of the open medium holds. */
async function reloadPlaces(store) {
  const place = store.get("place");
  const places = await getPlaces(place);
  if (store.get("medium") === place.medium) put(store, { places });
}

/** Fetch the objects of the open video again. */
export async function reloadObjects(store) {
  const medium = store.get("medium");
  const objects = await getObjects(medium);
  if (store.get("medium") === medium) put(store, { objects });
}

/** What is as it was stays the same value: who watches it has nothing to draw anew. */
function put(store, changes) {
  const news = Object.entries(changes)
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(store.get(name)));
  store.set(Object.fromEntries(news));
}
