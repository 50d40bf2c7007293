// What is drawn over the picture: the saved figures, and the object in the making.

import { drawMask } from "../mask.js";

/**
 * @param {Map} masks - of the figures, by their ids
 * @param {SmartTool} tool
 */
export function drawMasks(context, scale, store, masks, tool) {
  const [figures, classes, classId, selected] =
    ["figures", "classes", "classId", "selected"].map((name) => store.get(name));
  const colorOf = (id) => classes.find((one) => one.id === id)?.color ?? "#888888";
  const { mask, edited, state } = tool;
  const inWork = state === "error" ? null : edited?.figure.id;
  for (const { id, classId: owner } of figures) {
    const known = id === inWork ? null : masks.get(id);
    if (known) drawMask(context, known.mask, colorOf(owner), scale, id === selected);
  }
  const owner = (edited?.figure ?? store.get("joins"))?.classId ?? classId;
  if (mask) drawMask(context, mask, colorOf(owner), scale, true);
}
