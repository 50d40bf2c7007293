// The saved figures of the open place.

import { deleteFigure, getFigures, getPlaces, saveFigure } from "../api.js";
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
      await reload(store);
      offerUndo(place, figure, name);
      speak(`${name} deleted.`);
    } catch (error) {
      notice.replaceChildren(error.message);
      notice.hidden = false;
    }
  };

  const offerUndo = (place, figure, name) => {
    const { origin, data } = figure.geometry.bitmap;
    const restore = async () => {
      await saveFigure(place, {
        class_id: figure.classId,
        object_id: figure.objectId,
        origin: { x: origin[0], y: origin[1] },
        bitmap: data,
        prompt: figure.meta.smartToolInput ?? null,
        description: figure.description,
        nn_created: figure.nnCreated,
      });
      notice.hidden = true;
      await reload(store);
    };
    const button = element("button.link", { type: "button", on: { click: restore } }, "Undo");
    notice.replaceChildren(`${name} deleted. `, ...(figure.geometry.bitmap ? [button] : []));
    notice.hidden = false;
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

/** Fetch the figures of the open place again. */
export async function reload(store) {
  const place = store.get("place");
  const [figures, places] = await Promise.all([getFigures(place), getPlaces(place)]);
  if (store.get("place")?.key === place.key) store.set({ figures, places });
}
