// The saved figures of the open image.

import { deleteFigure, getFigures, saveFigure } from "../api.js";
import { element, iconButton } from "../dom.js";
import { swatch } from "./classes.js";

export function mountFigures(root, store, speak) {
  const count = element("span.count", {});
  const list = element("ul.figures", {});
  const notice = element("p.undo", { hidden: true });
  root.append(element("h2", { id: "figures-title" }, "Figures ", count), list, notice);

  const remove = async (figure, name) => {
    try {
      await deleteFigure(figure.id);
      await reload(store);
      offerUndo(figure, name);
      speak(`${name} deleted.`);
    } catch (error) {
      notice.replaceChildren(error.message);
      notice.hidden = false;
    }
  };

  const offerUndo = (figure, name) => {
    const { origin, data } = figure.geometry.bitmap;
    const restore = async () => {
      await saveFigure(figure.entityId, {
        class_id: figure.classId,
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
      iconButton("trash", `Delete ${name}`, () => remove(figure, name)),
    );
  };

  store.watch(["figures", "classes"], ({ figures, classes, image }) => {
    count.textContent = figures.length || "";
    list.replaceChildren(...figures.map((figure) => row(figure, classes)));
    if (!figures.length && image) {
      list.append(element("li.none", {}, "None yet. What you save appears here."));
    }
  });
  store.watch(["image"], () => { notice.hidden = true; });
}

/** Fetch the figures of the open image again. */
export async function reload(store) {
  const image = store.get("image");
  const figures = await getFigures(image.id);
  if (store.get("image")?.id === image.id) store.set({ figures });
}
