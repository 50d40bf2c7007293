// The saved figures of the open place.

import { getFigures, getObjects, getPlaces } from "../api.js";
import { colorOf } from "../colors.js";
import { element, iconButton } from "../dom.js";
import { swatch } from "./classes.js";

const KINDS = { rectangle: "box", polygon: "polygon" };

/**
 * @param {Changes} changes
 * @param {{edit: Function, openMenu: Function}} actions - called with a figure; `openMenu` also
 *   with a point of the window
 * @returns {{remove: (figure: object) => Promise}} deletes a figure, and offers to undo that
 */
export function mountFigures(root, store, changes, { edit, openMenu }) {
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

  const row = (figure, state) => {
    const name = nameOf(figure, state.classes);
    const kind = KINDS[figure.geometryType];
    const below = ({ currentTarget }) => {
      const { left, bottom } = currentTarget.getBoundingClientRect();
      openMenu(figure, { x: left, y: bottom });
    };
    const point = (selected) => () => store.set({ selected });
    return element(
      "li.figure",
      {
        data: { figure: figure.id },
        on: { pointerenter: point(figure.id), pointerleave: point(null) },
      },
      swatch(colorOf(figure, state)),
      element(
        "span.what", {},
        element("span.name", {}, name),
        element("span.size", {}, `${kind ? `${kind} · ` : ""}${Number(figure.area).toLocaleString("en")} px`),
      ),
      ...(figure.geometry.bitmap || figure.geometryType === "rectangle"
        ? [iconButton("pencil", `Edit ${name}`, () => edit(figure))]
        : []),
      iconButton("more", `More for ${name}`, below),
      iconButton("trash", `Delete ${name}`, () => remove(figure)),
    );
  };

  store.watch(["figures", "classes", "coloring"], (state) => {
    const { figures, place } = state;
    count.textContent = figures.length || "";
    list.replaceChildren(...figures.map((figure) => row(figure, state)));
    if (!figures.length && place) {
      list.append(element("li.none", {}, "None yet. What you save appears here."));
    }
    if (figures.some(({ id }) => id === deleted)) notice.hidden = true; // undone elsewhere
  });
  store.watch(["place"], () => { notice.hidden = true; });
  return { remove };
}

/** What a figure is called. */
export function nameOf({ id, classId }, classes) {
  return `${classes.find((one) => one.id === classId)?.title ?? "?"} #${id}`;
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
