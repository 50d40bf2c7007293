// The saved figures of the open place.

import { deleteFigure, getFigures, getObjects, getPlaces, saveFigure } from "../api.js";
import { element, iconButton } from "../dom.js";
import { swatch } from "./classes.js";

/** @param {(figure: object) => void} edit - called when a person wants to change a figure */
export function mountFigures(root, store, speak, edit) {
  const count = element("span.count", {});
  const list = element("ul.figures", {});
  const notice = element("p.undo", { hidden: true });
  root.append(element("h2", { id: "figures-title" }, "Figures ", count), list, notice);

  const remove = async (figure, name) => {
    const place = store.get("place");
    try {
      await deleteFigure(figure.id);
    } catch (error) {
      say(`${name} is not deleted: ${error.message}`);
      return;
    }
    offerUndo(place, figure, name);
    await refresh();
  };

  const say = (words, ...controls) => {
    notice.replaceChildren(`${words} `, ...controls, " ");
    notice.hidden = false;
    speak(words);
  };

  const refresh = async () => {
    try {
      await reload(store);
    } catch (error) {
      notice.append(`The list is not up to date: ${error.message}`);
      notice.hidden = false;
    }
  };

  const offerUndo = (place, figure, name) => {
    const restore = async () => {
      button.disabled = true; // pressed twice, it would bring the figure back twice
      try {
        await saveFigure(place, contentOf(figure));
      } catch (error) {
        button.disabled = false;
        say(`${name} is not back: ${error.message}`, button);
        return;
      }
      notice.hidden = true;
      notice.replaceChildren();
      await refresh();
    };
    const button = element("button.link", { type: "button", on: { click: restore } }, "Undo");
    say(`${name} deleted.`, ...(figure.geometry.bitmap ? [button] : []));
  };

  const row = (figure, classes) => {
    const owner = classes.find(({ id }) => id === figure.classId);
    const name = `${owner?.title ?? "?"} #${figure.id}`;
    const point = (selected) => () => store.set({ selected });
    return element(
      "li.figure",
      {
        data: { figure: figure.id },
        on: { pointerenter: point(figure.id), pointerleave: point(null) },
      },
      swatch(owner?.color ?? "#888888"),
      element("span.name", {}, name),
      element("span.size", {}, `${Number(figure.area).toLocaleString("en")} px`),
      ...(figure.geometry.bitmap
        ? [iconButton("pencil", `Edit ${name}`, () => edit(figure))]
        : []),
      iconButton("trash", `Delete ${name}`, () => remove(figure, name)),
    );
  };

  store.watch(["figures", "classes"], ({ figures, classes, place }) => {
    count.textContent = figures.length || "";
    list.replaceChildren(...figures.map((figure) => row(figure, classes)));
    if (!figures.length && place) {
      list.append(element("li.none", {}, "None yet. What you save appears here."));
    }
  });
  store.watch(["place"], () => { notice.hidden = true; });
}

/** A figure as it is saved anew. */
function contentOf(figure) {
  const { origin, data } = figure.geometry.bitmap;
  return {
    class_id: figure.classId,
    object_id: figure.objectId,
    origin: { x: origin[0], y: origin[1] },
    bitmap: data,
    prompt: figure.meta.smartToolInput ?? null,
    description: figure.description,
    nn_created: figure.nnCreated,
    nn_updated: figure.nnUpdated,
  };
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
